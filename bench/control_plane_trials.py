"""The trials of the control plane's benchmark; every trial returns its figures. Imported by `control_plane.py`."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from control_plane_bench import TUNELOOP, ControlPlaneBench, all_at_once, renamed, unplayed, until
from control_plane_gauges import ApiCall, Audit, cpu_seconds, reconciles, resident_mib
from pod_scripts import Until, before_the_end, succeed, succeed_at_once
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
    """Seconds until 8 pods were stored, one value a sample."""

    ours: list[float] = field(default_factory=list)
    """From the success of the prepare Job."""
    plain: list[float] = field(default_factory=list)
    """From the request for the Job: from then on, as after the success of a prepare Job, only the control plane has work to do."""


async def ceiling(bench: ControlPlaneBench, *, count: int) -> float:
    """Return how many ConfigMaps a second the API server stores."""
    namespace = await bench.namespace("ceiling")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    begun = time.monotonic()
    await all_at_once(lambda n=n: bench.api.ask("POST", path, {"metadata": {"name": f"c{n}"}}) for n in range(count))
    return count / (time.monotonic() - begun)


async def latency(bench: ControlPlaneBench, *, samples: int) -> Latency:
    """Let one prepare Job after the other succeed, and create a plain Job after each; nothing else runs."""
    namespace, observer, found = await bench.namespace("latency"), bench.observer, Latency()
    names = [f"ours-{number}" for number in range(samples + 1)]
    doors = {name: threading.Event() for name in names}
    scripts = {f"{name}/prepare": before_the_end(succeed, Until(door)) for name, door in doors.items()}
    with PodStatusPatcher(bench.plane, scripts=scripts | {"train": unplayed}, namespace=namespace):
        await all_at_once(lambda name=name: bench.submit(namespace, name, nodes=_GANG) for name in names)
        await until(
            lambda: sum(key[0] == namespace for key in observer.pods) == len(names), seconds=60, what="prepare pods"
        )
        await asyncio.sleep(_QUIET_SECONDS)
        for name in names:
            doors[name].set()
            gang = await bench.stored(namespace, name, "train", count=_GANG)
            found.ours.append(max(gang) - observer.prepared[namespace, name])
            if not bench.template:
                await bench.learn_template(namespace, name)
            plain = name.replace("ours", "plain")
            requested = await bench.submit_plain(namespace, plain, nodes=_GANG)
            found.plain.append(max(await bench.stored(namespace, plain, "plain", count=_GANG)) - requested)
            await asyncio.sleep(0.2)
    return Latency(ours=found.ours[1:], plain=found.plain[1:])  # the first sample of both kinds warms up


@dataclass(kw_only=True)
class Life:
    """The API calls of jobs from their creation to their success."""

    calls: list[ApiCall]
    progress_writes: int
    """Number of the writes that changed nothing but the progress in a status."""


async def whole_lives(bench: ControlPlaneBench, *, jobs: int) -> Life:
    """Let jobs of 8 pods run to their end."""
    audit, home = Audit(bench.plane.audit_log), await bench.namespace(LIVES)
    names = [f"life-{number}" for number in range(jobs)]
    with PodStatusPatcher(bench.plane, namespace=home):
        for name in names:
            await bench.submit(home, name, nodes=_GANG)
        await until(
            lambda: {bench.observer.phase((home, name)) for name in names} == {"Succeeded"}, seconds=300, what="success"
        )
        await asyncio.sleep(_QUIET_SECONDS)
    calls = [call for call in audit.since_mark() if call.namespace == home]
    return Life(calls=calls, progress_writes=bench.observer.progress_writes[home])


@dataclass(kw_only=True)
class Burst:
    """Jobs that were created as fast as possible."""

    seconds: list[float]
    """For each job: the time from the storage of the job to that of its last pod."""
    total: float
    """The time from the first request to the storage of the last pod."""
    calls: list[ApiCall]
    """The operator's calls for these jobs, until it was idle."""
    cpu: float
    """CPU seconds of the operator for these jobs."""


async def burst(bench: ControlPlaneBench, name: str, *, jobs: int, operator: RunningOperator) -> Burst:
    """Create FineTuneJobs whose prepare pod succeeds in a single write, as with cached data, and whose gang stays as stored."""
    with PodStatusPatcher(bench.plane, scripts={"prepare": succeed_at_once, "train": unplayed}):
        return await _burst(bench, name, jobs=jobs, operator=operator, stage="train", submit=bench.submit)


async def burst_of_plain(bench: ControlPlaneBench, name: str, *, jobs: int, operator: RunningOperator) -> Burst:
    """Create plain Jobs with the pods of those gangs."""
    return await _burst(bench, name, jobs=jobs, operator=operator, stage="plain", submit=bench.submit_plain)


async def _burst(
    bench: ControlPlaneBench,
    name: str,
    *,
    jobs: int,
    operator: RunningOperator,
    stage: str,
    submit: Callable[..., Awaitable[object]],
) -> Burst:
    homes = [await bench.namespace(f"{name}-{number}") for number in range(_NAMESPACES)]
    keys = [(homes[number % _NAMESPACES], f"job-{number}") for number in range(jobs)]
    audit, cpu, begun = Audit(bench.plane.audit_log), cpu_seconds(operator.process.pid), time.monotonic()
    await all_at_once(lambda key=key: submit(*key, nodes=_BURST_GANG) for key in keys)
    stored = [max(await bench.stored(*key, stage, count=_BURST_GANG, seconds=_BURST_SECONDS)) for key in keys]
    await until_idle(operator)
    created = bench.observer.plain if stage == "plain" else bench.observer.jobs
    return Burst(
        seconds=[last - created[key] for key, last in zip(keys, stored, strict=True)],
        total=max(stored) - begun,
        calls=[call for call in audit.since_mark() if call.namespace in homes],
        cpu=cpu_seconds(operator.process.pid) - cpu,
    )


@dataclass(kw_only=True)
class Empty:
    """An operator without any objects."""

    cpu: float
    resident: float

    @classmethod
    def of(cls, operator: RunningOperator) -> Empty:
        pid = operator.process.pid
        return cls(cpu=cpu_seconds(pid), resident=resident_mib(pid))


@dataclass(kw_only=True)
class Rest:
    """An idle operator."""

    calls: list[ApiCall]
    minutes: float
    cpu_per_minute: float
    resident: float
    scrape_seconds: float


async def rest(bench: ControlPlaneBench, operator: RunningOperator, *, seconds: float) -> Rest:
    """Measure an idle operator."""
    await until_idle(operator)
    audit, cpu = Audit(bench.plane.audit_log), cpu_seconds(operator.process.pid)
    await asyncio.sleep(seconds)
    calls, cpu = audit.since_mark(), cpu_seconds(operator.process.pid) - cpu
    resident, begun = resident_mib(operator.process.pid), time.monotonic()
    await asyncio.to_thread(operator.metrics)
    return Rest(
        calls=calls,
        minutes=seconds / 60,
        cpu_per_minute=cpu * 60 / seconds,
        resident=resident,
        scrape_seconds=time.monotonic() - begun,
    )


async def until_idle(operator: RunningOperator, *, seconds: float = 300.0) -> float:
    """Return the time (monotonic) from which the operator used next to no CPU for one second."""
    deadline = time.monotonic() + seconds
    while True:
        begun, before = time.monotonic(), cpu_seconds(operator.process.pid)
        await asyncio.sleep(1.0)
        if cpu_seconds(operator.process.pid) - before <= 0.05:
            return begun
        if begun > deadline:
            raise RuntimeError(f"the operator still works after {seconds:g} s")


async def fill(bench: ControlPlaneBench, *, finished: int, suspended: int) -> None:
    """Create finished FineTuneJobs, as copies of a job that really ran, and suspended ones. No operator may run meanwhile."""
    home = await bench.namespace("filled")
    source = (await bench.api.ask("GET", TUNELOOP.format(LIVES)))[1]["items"][0]
    token = source["metadata"]["name"]

    async def add(number: int) -> None:
        name = f"over-{number}"
        made = await bench.submit(home, name, nodes=_GANG)
        old = {
            source["metadata"]["uid"]: made["metadata"]["uid"],
            source["metadata"]["uid"][:8]: made["metadata"]["uid"][:8],
        }
        status = renamed(source["status"], old=old | {f"{token}-": f"{name}-"})
        path = f"{TUNELOOP.format(home)}/{name}/status"
        await bench.api.ask("PATCH", path, {"status": status}, content="application/merge-patch+json")

    await all_at_once(lambda number=number: add(number) for number in range(finished))
    await all_at_once(
        lambda n=n: bench.submit(home, f"suspended-{n}", nodes=_GANG, suspend=True) for n in range(suspended)
    )


@dataclass(kw_only=True)
class Start:
    """A start with many objects. Times are seconds after the start of the process."""

    ready: float
    leads: float
    idle: float
    cpu: float
    peak: float
    reconciled: int
    """Number of reconciles of FineTuneJobs."""
    calls: list[ApiCall]


async def ready(bench: ControlPlaneBench, **settings: Any) -> RunningOperator:
    """Start the operator; return it once it is ready and is the leader. settings: as of `RunningOperator`."""
    operator = bench.launch(**settings)
    await asyncio.to_thread(operator.wait_ready, seconds=120)
    await bench.until_leader(operator)
    await until_idle(operator)
    return operator


async def start(bench: ControlPlaneBench) -> tuple[Start, RunningOperator]:
    """Start the operator and return once it has reconciled every object."""
    audit, begun = Audit(bench.plane.audit_log), time.monotonic()
    operator = bench.launch()

    async def seconds_until(moment: Awaitable[object]) -> float:
        await moment
        return time.monotonic() - begun

    is_ready, leads = await asyncio.gather(
        seconds_until(asyncio.to_thread(operator.wait_ready, seconds=300)), seconds_until(bench.until_leader(operator))
    )
    idle = await until_idle(operator) - begun
    pid = operator.process.pid
    figures = Start(
        ready=is_ready,
        leads=leads,
        idle=idle,
        cpu=cpu_seconds(pid),
        peak=resident_mib(pid, peak=True),
        reconciled=reconciles(await asyncio.to_thread(operator.metrics)),
        calls=audit.since_mark(),
    )
    return figures, operator
