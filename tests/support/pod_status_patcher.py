"""`PodStatusPatcher` plays scheduler and kubelet: it gives each pod of a job the lifecycle that a script chooses. Nothing runs.

    with PodStatusPatcher(control_plane, scripts={"train": by_attempt(fail(FailureClass.COLLECTIVE), succeed)}) as kubelet:
        create(job)
        kubelet.wait_for(lambda: kubelet.ended >= 3)

Scripts are found by `JOB/STAGE`, else by `STAGE` (prepare, train, export; serve for the pods of a ModelDeployment); without one a job's
pod succeeds and a server runs. A pod that is deleted gets SIGTERM and is removed when its container has ended, as by the kubelet.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from api_session import ApiSession, RefusedError, WatchExpiredError
from fake_nodes import FakeNodes
from kubeconfigs import connection_of
from pod_scripts import NAMED, Bind, End, PodLifecycle, Script, Until, Wait, hang, succeed
from pod_status import is_terminal, patch_after
from waiting import LEAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from cluster.control_plane import ControlPlane
    from pod_scripts import Pod, Step

_JOB, _STAGE, _ATTEMPT = "tuneloop.dev/job", "tuneloop.dev/stage", "tuneloop.dev/attempt"
_INDEX = "batch.kubernetes.io/job-completion-index"
_MANAGED = "app.kubernetes.io/managed-by=tuneloop"
_GONE = frozenset({404, 409})
"""Answers that say that the pod is gone, or has the name of a newer one."""
_POLL_SECONDS = 0.05


@dataclass
class _Played:
    """One pod and where its lifecycle is."""

    pod: Pod
    lifecycle: PodLifecycle
    task: asyncio.Task[None] | None = None
    is_stopping: bool = False
    steps: list[Step] = field(default_factory=list)
    """Those that were taken."""


class PodStatusPatcher:
    """As a context manager it plays inside. On leaving it fails if the API server refused something that it wrote."""

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        scripts: Mapping[str, Script | str] | None = None,
        namespace: str | None = None,
        selector: str = _MANAGED,
        nodes: Sequence[str] = ("fake-0", "fake-1", "fake-2"),
        has_scheduler: bool = False,
    ) -> None:
        """`namespace`: None for all. `selector`: a label selector. `nodes`: names of the fake nodes, which it makes and removes.

        `has_scheduler`: a real scheduler places the pods, and the step `Bind` waits for it.
        """
        self.scripts: dict[str, Script | str] = dict(scripts or {})
        """May be changed at any time; holds for pods that are first observed later."""
        self.ended = 0
        """Pods that ended by their lifecycle."""
        self.problems: list[str] = []
        self._connection = connection_of(control_plane.kubeconfig)
        self._path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        self._query = f"labelSelector={selector}"
        self._node_names = nodes
        self._has_scheduler = has_scheduler
        self._played: dict[str, _Played] = {}
        self._runs: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pod-status-patcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._in_loop(self._start())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._in_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if kind is None:
            assert not self.problems, "\n".join(self.problems)

    def play(self, name: str, *steps: Step, namespace: str) -> None:
        """Let a pod take these steps now, instead of what is left of its lifecycle; returns when it has."""
        self._in_loop(self._play_now(name, namespace, steps))

    def steps_of(self, name: str, *, namespace: str) -> tuple[Step, ...]:
        """Return the steps that a pod has taken so far. Raises KeyError if it is not known."""
        return tuple(self._find(name, namespace).steps)

    def pods(self, *, namespace: str) -> tuple[str, ...]:
        """Return the names of the pods that exist, sorted."""
        found = (played.pod["metadata"] for played in tuple(self._played.values()))
        return tuple(sorted(metadata["name"] for metadata in found if metadata["namespace"] == namespace))

    def add_node(self, name: str, size: Mapping[str, str]) -> None:
        """Make one more node. `size`: how much it has of what, where that is not as of the others."""
        self._in_loop(self._nodes.add(name, size))

    def resize_node(self, name: str, size: Mapping[str, str]) -> None:
        """Change how much a node has of something."""
        self._in_loop(self._nodes.resize(name, size))

    def lose_node(self, name: str) -> None:
        """Let a node go silent: its pods stay as they are, even if they are deleted."""
        self._in_loop(self._lose(name))

    def restore_node(self, name: str) -> None:
        """Let a node come back: its deleted pods go away; a lifecycle that was broken off is not taken up again."""
        self._in_loop(self._restore(name))

    @staticmethod
    def wait_for(holds: Callable[[], bool], *, timeout_seconds: float = LEAST_SECONDS) -> None:
        """Return once it holds. Raises AssertionError at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {timeout_seconds} s"
            time.sleep(_POLL_SECONDS)

    async def _start(self) -> None:
        self._api = ApiSession(self._connection)
        self._nodes = FakeNodes(self._api, self._node_names)
        await self._nodes.create()
        self._tasks = [asyncio.create_task(self._nodes.keep()), asyncio.create_task(self._follow())]

    async def _stop(self) -> None:
        tasks = [*self._tasks, *(played.task for played in self._played.values() if played.task)]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self.problems.append(repr(result))
        await self._nodes.remove()
        await self._api.close()

    async def _follow(self) -> None:
        """List and watch the pods, for ever."""
        while True:
            _, listed = await self._api.ask("GET", f"{self._path}?{self._query}")
            uids = {pod["metadata"]["uid"] for pod in listed["items"]}
            for uid in self._played.keys() - uids:
                self._forget(uid)
            for pod in listed["items"]:
                self._observe(pod)
            await self._watch(listed["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        try:
            while True:
                async for event in self._api.watch(self._path, query=self._query, version=version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        self._forget(event["object"]["metadata"]["uid"])
                    elif event["type"] != "BOOKMARK":
                        self._observe(event["object"])
        except WatchExpiredError:
            return

    def _observe(self, pod: Pod) -> None:
        uid = pod["metadata"]["uid"]
        known = self._played.get(uid)
        if known is None:
            known = self._played[uid] = _Played(pod, self._lifecycle_of(pod))
            if not is_terminal(pod):
                self._let(known, lambda: self._take(known, known.lifecycle.steps))
        elif int(pod["metadata"]["resourceVersion"]) >= int(known.pod["metadata"]["resourceVersion"]):
            known.pod = pod
        if "deletionTimestamp" in pod["metadata"] and not known.is_stopping and not self._is_lost(pod):
            known.is_stopping = True
            self._let(known, lambda: self._end(known))

    def _forget(self, uid: str) -> None:
        known = self._played.pop(uid, None)
        if known and known.task:
            known.task.cancel()

    def _lifecycle_of(self, pod: Pod) -> PodLifecycle:
        metadata = pod["metadata"]
        labels = metadata["labels"]
        stage, job = labels.get(_STAGE, "serve"), labels.get(_JOB, "")
        index = int((metadata.get("annotations") or {}).get(_INDEX, 0))
        chosen = self.scripts.get(f"{job}/{stage}") or self.scripts.get(stage)
        script = NAMED[chosen] if isinstance(chosen, str) else chosen or (hang if stage == "serve" else succeed)
        return script(pod, self._attempt(pod, job, stage), stage, index)

    def _attempt(self, pod: Pod, job: str, stage: str) -> int:
        """Return the number of the run; of a stage whose attempts have no numbers, by the Jobs that were observed."""
        metadata = pod["metadata"]
        if stage == "train":
            return int(metadata["labels"][_ATTEMPT])
        owner = next((owner["uid"] for owner in metadata.get("ownerReferences", ())), metadata["uid"])
        runs = self._runs[metadata["namespace"], job, stage]
        if owner not in runs:
            runs.append(owner)
        return runs.index(owner) + 1

    def _let(self, known: _Played, lifecycle: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if known.task:
            known.task.cancel()
        known.task = asyncio.create_task(self._guarded(lifecycle))

    async def _guarded(self, lifecycle: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await lifecycle()
        except RefusedError as error:
            if "NamespaceTerminating" not in str(error):  # an earlier test's pods go with their namespace
                self.problems.append(str(error))

    async def _take(self, known: _Played, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Wait(seconds=seconds):
                    await asyncio.sleep(seconds)
                case Until(event=event):
                    while not event.is_set():  # noqa: ASYNC110  (the event is of another thread)
                        await asyncio.sleep(_POLL_SECONDS)
                case Bind() if self._has_scheduler:
                    while not known.pod["spec"].get("nodeName"):  # noqa: ASYNC110  (the watch brings it)
                        await asyncio.sleep(_POLL_SECONDS)
                case Bind(node=node):
                    await self._bind(known, node)
                case _:
                    await self._show(known, step)
            known.steps.append(step)
            self.ended += isinstance(step, End)

    async def _bind(self, known: _Played, node: str | None) -> None:
        metadata = known.pod["metadata"]
        index = int((metadata.get("annotations") or {}).get(_INDEX, 0))
        target = {"apiVersion": "v1", "kind": "Node", "name": node or self._node_names[index % len(self._node_names)]}
        body = {"metadata": {"name": metadata["name"], "uid": metadata["uid"]}, "target": target}
        await self._api.ask("POST", f"{_path_of(known.pod)}/binding", body, accept={201} | _GONE)
        known.pod["spec"]["nodeName"] = target["name"]

    async def _show(self, known: _Played, step: Step) -> None:
        patch = patch_after(known.pod, step, now=datetime.now(UTC))
        status, pod = await self._api.ask("PATCH", f"{_path_of(known.pod)}/status", patch, accept={200} | _GONE)
        if status == 200:
            known.pod = pod

    async def _end(self, known: _Played) -> None:
        """End a deleted pod as the kubelet does. A pod without a node has no kubelet: the API server removes it by itself."""
        if not known.pod["spec"].get("nodeName"):
            return
        if not is_terminal(known.pod):
            grace = known.pod["metadata"].get("deletionGracePeriodSeconds") or 0
            stop = known.lifecycle.stop
            await asyncio.sleep(min(stop.seconds, grace))
            await self._show(known, stop.end if stop.seconds <= grace else End(137))
            await asyncio.sleep(stop.lingers)
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": known.pod["metadata"]["uid"]}}
        await self._api.ask("DELETE", _path_of(known.pod), body, accept={200} | _GONE)

    async def _play_now(self, name: str, namespace: str, steps: Sequence[Step]) -> None:
        known = self._find(name, namespace)
        if known.task:
            known.task.cancel()
        await self._take(known, steps)

    async def _lose(self, name: str) -> None:
        await self._nodes.lose(name)
        for known in self._played.values():
            if self._is_lost(known.pod) and known.task:
                known.task.cancel()

    async def _restore(self, name: str) -> None:
        await self._nodes.restore(name)
        for known in tuple(self._played.values()):
            self._observe(known.pod)

    def _is_lost(self, pod: Pod) -> bool:
        return pod["spec"].get("nodeName") in self._nodes.lost

    def _find(self, name: str, namespace: str) -> _Played:
        for known in tuple(self._played.values()):
            if (known.pod["metadata"]["name"], known.pod["metadata"]["namespace"]) == (name, namespace):
                return known
        raise KeyError(f"{namespace}/{name}")

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)


def _path_of(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
