"""The trials of the control plane's benchmark; each returns its figures. Imported by `control_plane.py`."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from control_plane_bed import TUNELOOP, Bed, renamed, together, unplayed, until
from control_plane_gauges import Asked, Audit, cpu_seconds, reconciles, resident_mib
from pod_courses import Until, before_the_end, succeed, succeed_at_once
from pod_status_patcher import PodStatusPatcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from operator_process import RunningOperator

LIVES = "lives"
"""The namespace of `whole_lives`; its jobs are `life-0`, `life-1` and so on."""
_NAMESPACES = 4
_GANG = 8
_BURST_GANG = 4
_BURST_SECONDS = 600.0
_QUIET_SECONDS = 2.0


@dataclass(kw_only=True)
class Latency:
    """Seconds until 8 pods were stored, per sample."""

    ours: list[float] = field(default_factory=list)
    """From the success of the prepare Job."""
    plain: list[float] = field(default_factory=list)
    """From the request for the Job: like the success of a prepare, that is when nothing is left to wait for but the control plane."""


async def ceiling(bed: Bed, *, count: int) -> float:
    """Return how many ConfigMaps a second the API server takes."""
    namespace = await bed.namespace("ceiling")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    begun = time.monotonic()
    await together(lambda n=n: bed.api.ask("POST", path, {"metadata": {"name": f"c{n}"}}) for n in range(count))
    return count / (time.monotonic() - begun)


async def latency(bed: Bed, *, samples: int) -> Latency:
    """Let one prepare after the other succeed, and in between create a plain Job; nothing else is going on."""
    namespace, seen, found = await bed.namespace("latency"), bed.seen, Latency()
    names = [f"ours-{number}" for number in range(samples + 1)]
    doors = {name: threading.Event() for name in names}
    scripts = {f"{name}/prepare": before_the_end(succeed, Until(door)) for name, door in doors.items()}
    with PodStatusPatcher(bed.plane, scripts=scripts | {"train": unplayed}, namespace=namespace):
        await together(lambda name=name: bed.submit(namespace, name, nodes=_GANG) for name in names)
        await until(
            lambda: sum(key[0] == namespace for key in seen.pods) == len(names), seconds=60, what="prepare pods"
        )
        await asyncio.sleep(_QUIET_SECONDS)
        for name in names:
            doors[name].set()
            gang = await bed.stored(namespace, name, "train", count=_GANG)
            found.ours.append(max(gang) - seen.prepared[namespace, name])
            if not bed.template:
                await bed.learn_template(namespace, name)
            plain = name.replace("ours", "plain")
            asked = await bed.submit_plain(namespace, plain, nodes=_GANG)
            found.plain.append(max(await bed.stored(namespace, plain, "plain", count=_GANG)) - asked)
            await asyncio.sleep(0.2)
    return Latency(ours=found.ours[1:], plain=found.plain[1:])  # the first of each warms up


@dataclass(kw_only=True)
class Life:
    """What jobs asked of the API server from their creation to their success."""

    asked: list[Asked]
    progress_writes: int
    """Those of the writes that changed nothing but progress in a status."""


async def whole_lives(bed: Bed, *, jobs: int) -> Life:
    """Let jobs of 8 pods run to their end."""
    audit, home = Audit(bed.plane.audit_log), await bed.namespace(LIVES)
    names = [f"life-{number}" for number in range(jobs)]
    with PodStatusPatcher(bed.plane, namespace=home):
        for name in names:
            await bed.submit(home, name, nodes=_GANG)
        await until(
            lambda: {bed.seen.phase((home, name)) for name in names} == {"Succeeded"}, seconds=300, what="success"
        )
        await asyncio.sleep(_QUIET_SECONDS)
    asked = [one for one in audit.since_mark() if one.namespace == home]
    return Life(asked=asked, progress_writes=bed.seen.progress_writes[home])


@dataclass(kw_only=True)
class Burst:
    """Jobs that were created as fast as it goes."""

    seconds: list[float]
    """For each job: from when it was stored until its last pod was."""
    total: float
    """From the first request until the last pod was stored."""
    asked: list[Asked]
    """By the operator, for these jobs, until it had nothing left to do."""
    cpu: float
    """Seconds that it used for that."""


async def burst(bed: Bed, name: str, *, jobs: int, operator: RunningOperator) -> Burst:
    """Create FineTuneJobs whose prepare pod succeeds in a single write, as on cached data, and whose gang stays as it was stored."""
    with PodStatusPatcher(bed.plane, scripts={"prepare": succeed_at_once, "train": unplayed}):
        return await _burst(bed, name, jobs=jobs, operator=operator, stage="train", submit=bed.submit)


async def burst_of_plain(bed: Bed, name: str, *, jobs: int, operator: RunningOperator) -> Burst:
    """Create plain Jobs with the pods of those gangs."""
    return await _burst(bed, name, jobs=jobs, operator=operator, stage="plain", submit=bed.submit_plain)


async def _burst(
    bed: Bed, name: str, *, jobs: int, operator: RunningOperator, stage: str, submit: Callable[..., Awaitable[object]]
) -> Burst:
    homes = [await bed.namespace(f"{name}-{number}") for number in range(_NAMESPACES)]
    keys = [(homes[number % _NAMESPACES], f"job-{number}") for number in range(jobs)]
    audit, cpu, begun = Audit(bed.plane.audit_log), cpu_seconds(operator.process.pid), time.monotonic()
    await together(lambda key=key: submit(*key, nodes=_BURST_GANG) for key in keys)
    stored = [max(await bed.stored(*key, stage, count=_BURST_GANG, seconds=_BURST_SECONDS)) for key in keys]
    await settle(operator)
    created = bed.seen.plain if stage == "plain" else bed.seen.jobs
    return Burst(
        seconds=[last - created[key] for key, last in zip(keys, stored, strict=True)],
        total=max(stored) - begun,
        asked=[one for one in audit.since_mark() if one.namespace in homes],
        cpu=cpu_seconds(operator.process.pid) - cpu,
    )


@dataclass(kw_only=True)
class Empty:
    """An operator that has started and was shown nothing."""

    cpu: float
    resident: float

    @classmethod
    def of(cls, operator: RunningOperator) -> Empty:
        pid = operator.process.pid
        return cls(cpu=cpu_seconds(pid), resident=resident_mib(pid))


@dataclass(kw_only=True)
class Rest:
    """An operator with nothing to do."""

    asked: list[Asked]
    minutes: float
    cpu_per_minute: float
    resident: float
    scrape_seconds: float


async def rest(bed: Bed, operator: RunningOperator, *, seconds: float) -> Rest:
    """Watch an operator rest."""
    await settle(operator)
    audit, cpu = Audit(bed.plane.audit_log), cpu_seconds(operator.process.pid)
    await asyncio.sleep(seconds)
    asked, cpu = audit.since_mark(), cpu_seconds(operator.process.pid) - cpu
    resident, begun = resident_mib(operator.process.pid), time.monotonic()
    await asyncio.to_thread(operator.metrics)
    return Rest(
        asked=asked,
        minutes=seconds / 60,
        cpu_per_minute=cpu * 60 / seconds,
        resident=resident,
        scrape_seconds=time.monotonic() - begun,
    )


async def settle(operator: RunningOperator, *, seconds: float = 300.0) -> float:
    """Return when (monotonic) the operator began to use next to no time; that shows by one second later."""
    deadline = time.monotonic() + seconds
    while True:
        begun, before = time.monotonic(), cpu_seconds(operator.process.pid)
        await asyncio.sleep(1.0)
        if cpu_seconds(operator.process.pid) - before <= 0.05:
            return begun
        if begun > deadline:
            raise RuntimeError(f"the operator is still at work after {seconds:g} s")


async def fill(bed: Bed, *, finished: int, suspended: int) -> None:
    """Add FineTuneJobs that are over, as copies of one that really ran, and some that are suspended; no operator may run meanwhile."""
    home = await bed.namespace("filled")
    source = (await bed.api.ask("GET", TUNELOOP.format(LIVES)))[1]["items"][0]
    token = source["metadata"]["name"]

    async def add(number: int) -> None:
        name = f"over-{number}"
        made = await bed.submit(home, name, nodes=_GANG)
        old = {
            source["metadata"]["uid"]: made["metadata"]["uid"],
            source["metadata"]["uid"][:8]: made["metadata"]["uid"][:8],
        }
        status = renamed(source["status"], old=old | {f"{token}-": f"{name}-"})
        path = f"{TUNELOOP.format(home)}/{name}/status"
        await bed.api.ask("PATCH", path, {"status": status}, content="application/merge-patch+json")

    await together(lambda number=number: add(number) for number in range(finished))
    await together(lambda n=n: bed.submit(home, f"suspended-{n}", nodes=_GANG, suspend=True) for n in range(suspended))


@dataclass(kw_only=True)
class Start:
    """A start with many objects. Seconds since the process was begun."""

    ready: float
    leads: float
    settled: float
    cpu: float
    peak: float
    reconciled: int
    """How many times a FineTuneJob was looked at."""
    asked: list[Asked]


async def ready(bed: Bed) -> RunningOperator:
    """Start the operator; return it once it is ready and leads."""
    operator = bed.launch()
    await asyncio.to_thread(operator.wait_ready, seconds=120)
    await bed.lead(operator)
    await settle(operator)
    return operator


async def start(bed: Bed) -> tuple[Start, RunningOperator]:
    """Start the operator and return once it has looked at everything."""
    audit, begun = Audit(bed.plane.audit_log), time.monotonic()
    operator = bed.launch()

    async def seconds_until(moment: Awaitable[object]) -> float:
        await moment
        return time.monotonic() - begun

    is_ready, leads = await asyncio.gather(
        seconds_until(asyncio.to_thread(operator.wait_ready, seconds=300)), seconds_until(bed.lead(operator))
    )
    settled = await settle(operator) - begun
    pid = operator.process.pid
    figures = Start(
        ready=is_ready,
        leads=leads,
        settled=settled,
        cpu=cpu_seconds(pid),
        peak=resident_mib(pid, peak=True),
        reconciled=reconciles(await asyncio.to_thread(operator.metrics)),
        asked=audit.since_mark(),
    )
    return figures, operator
