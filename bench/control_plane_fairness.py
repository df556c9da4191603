"""One tenant's job, alone and beside the flood of objects of another tenant; a plain Job beside each. Imported by `control_plane.py`.

The flood is FineTuneJobs in one namespace, created as fast as the API server takes them. Their prepare pods are stored and wait for a node,
as on a full cluster. The other tenant's jobs come one after the other while the operator works the flood off. A plain Job with the same pods
follows each of them: it shows how much slower the control plane itself is, without the operator, on the cores that all of them share.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from control_plane_bench import ControlPlaneBench, all_at_once, until
from control_plane_gauges import cpu_seconds
from pod_scripts import hang, succeed_at_once
from pod_status_patcher import PodStatusPatcher

from tuneloop_api.contract.progress import progress_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from operator_process import RunningOperator

_GANG = 8
_SECONDS = 120.0
_STEP = 7
"""What the job posts."""
_POST_AGAIN_SECONDS = 0.02
_PAUSE_SECONDS = 0.2
_QUIET_SECONDS = 3.0
_OURS, _FLOOD = "tenant", "flood"


@dataclass(kw_only=True)
class Lives:
    """Seconds of the jobs of one tenant, one value a job."""

    stored: list[float] = field(default_factory=list)
    """From the creation of the job until its 8 training pods were stored."""
    progress: list[float] = field(default_factory=list)
    """From the creation of the job until its first progress was in its status."""
    operator: list[float] = field(default_factory=list)
    """The operator's part of it: from the creation to the Job of `prepare`, from the end of that to the Job of the gang, from the post to the status."""
    plain: list[float] = field(default_factory=list)
    """From the creation of a plain Job until its 8 pods were stored."""


@dataclass(kw_only=True)
class Fairness:
    """One round: the same tenant before the flood and beside it."""

    alone: Lives
    beside: Lives
    flood_seconds: float
    """From the first object of the flood until the last one had its prepare pod."""
    cpu: float
    """How many cores the operator used meanwhile."""

    def ratio(self, what: str) -> float:
        """Return the median beside the flood as a multiple of the median alone. what: a field of `Lives`."""
        beside, alone = getattr(self.beside, what), getattr(self.alone, what)
        return statistics.median(beside) / statistics.median(alone)


class Fair:
    """The tenants of one operator."""

    def __init__(self, bench: ControlPlaneBench, operator: RunningOperator) -> None:
        self._bench = bench
        self._operator = operator
        authority = str(operator.certificate / "ca.crt")
        self._tls = ssl.create_default_context(cafile=authority)
        self._jobs = 0
        self._floods = 0

    async def rounds(self, *, rounds: int, jobs: int, flood: int) -> AsyncIterator[Fairness]:
        """Yield the figures of each round: `jobs` jobs alone, then a flood of `flood` objects with at least so many jobs beside it."""
        await self._bench.namespace(_OURS)
        scripts = {"prepare": succeed_at_once, "train": hang}
        with PodStatusPatcher(self._bench.plane, scripts=scripts, namespace=_OURS):
            await self._job(Lives())  # the first one warms up
            await self._bench.learn_template(_OURS, "job-1")
            for _ in range(rounds):
                alone = Lives()
                for _ in range(jobs):
                    await self._pair(alone)
                yield await self._beside(alone, flood=flood)
                await asyncio.sleep(_QUIET_SECONDS)

    async def _beside(self, alone: Lives, *, flood: int) -> Fairness:
        self._floods += 1
        home = await self._bench.namespace(f"{_FLOOD}-{self._floods}")
        beside, begun, cpu = Lives(), time.monotonic(), cpu_seconds(self._operator.process.pid)
        work = asyncio.create_task(self._flood(home, flood))
        while not work.done():
            await self._pair(beside)
        await work
        seconds = time.monotonic() - begun
        used = cpu_seconds(self._operator.process.pid) - cpu
        return Fairness(alone=alone, beside=beside, flood_seconds=seconds, cpu=used / seconds)

    async def _flood(self, home: str, count: int) -> None:
        """Create the objects; return once each has its prepare pod."""
        names = [f"flood-{number}" for number in range(count)]
        await all_at_once(lambda name=name: self._bench.submit(home, name, nodes=_GANG) for name in names)
        pods = self._bench.observer.pods
        for name in names:
            await until(lambda name=name: bool(pods[home, name, "prepare"]), seconds=3600, what=name, every=0.05)

    async def _pair(self, lives: Lives) -> None:
        name = await self._job(lives)
        plain = name.replace("job", "plain")
        requested = await self._bench.submit_plain(_OURS, plain, nodes=_GANG)
        pods = await self._bench.stored(_OURS, plain, "plain", count=_GANG, seconds=_SECONDS)
        lives.plain.append(max(pods) - requested)
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _job(self, lives: Lives) -> str:
        """Run a job until its first progress is in its status."""
        self._jobs += 1
        name, created = f"job-{self._jobs}", time.monotonic()
        job = await self._bench.submit(_OURS, name, nodes=_GANG)
        pods = await self._bench.stored(_OURS, name, "train", count=_GANG, seconds=_SECONDS)
        await self._post(name, uid=job["metadata"]["uid"])
        posted = time.monotonic()
        await until(lambda: self._step_of(name) == _STEP, seconds=_SECONDS, what=f"progress of {name} in its status")
        shown, observer = time.monotonic(), self._bench.observer
        prepare, gang = (observer.stages[_OURS, name, stage] for stage in ("prepare", "train"))
        lives.stored.append(max(pods) - created)
        lives.progress.append(shown - created)
        begun, prepared = observer.jobs[_OURS, name], observer.prepared[_OURS, name]
        lives.operator.append((prepare - begun) + (gang - prepared) + (shown - posted))
        return name

    def _step_of(self, name: str) -> int | None:
        return (self._bench.observer.statuses[_OURS, name].get("progress") or {}).get("step")

    async def _post(self, name: str, *, uid: str) -> None:
        """Post progress as the first rank does, again until it is taken."""
        headers = {"Authorization": f"Bearer {await self._token(name, uid=uid)}"}
        url = f"https://localhost:{self._operator.progress_port}{progress_path(_OURS, name)}"
        message = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}
        message |= {"step": _STEP, "totalSteps": 100, "loss": 0.5}
        deadline = time.monotonic() + _SECONDS
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.post(url, json=message, ssl=self._tls) as reply:
                    if reply.status == 202:
                        return
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the progress of {name} is refused: {reply.status}")
                await asyncio.sleep(_POST_AGAIN_SECONDS)

    async def _token(self, name: str, *, uid: str) -> str:
        """Return the token that the kubelet would mount into the first pod of the gang."""
        query = f"?labelSelector=tuneloop.dev/job={name},batch.kubernetes.io/job-completion-index=0,tuneloop.dev/stage=train"
        _, found = await self._bench.api.ask("GET", f"/api/v1/namespaces/{_OURS}/pods{query}")
        pod = found["items"][0]["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        spec: dict[str, Any] = {"audiences": [f"tuneloop.dev/{uid}"], "expirationSeconds": 600, "boundObjectRef": bound}
        path = f"/api/v1/namespaces/{_OURS}/serviceaccounts/default/token"
        token: str = (await self._bench.api.ask("POST", path, {"spec": spec}))[1]["status"]["token"]
        return token
