"""LocalSession: a LocalNode together with the operator, so that submitted manifests run. The command line is built on this.

async with LocalSession(Path(".tuneloop"), ranks=2) as session:
    await session.submit(manifest)
    job = await session.wait_for("FineTuneJob", "reviews", until=is_finished)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self

from tuneloop_cli.local.acceptance import require_accepted
from tuneloop_cli.local.api_keys import link_keys
from tuneloop_cli.local.cluster.cluster import key_of
from tuneloop_cli.local.cluster.object_files import replace_file
from tuneloop_cli.local.cluster.pod_objects import is_terminal
from tuneloop_cli.local.door import open_door
from tuneloop_cli.local.feedback_keys import make_feedback_keys
from tuneloop_cli.local.folders import prepare_claims
from tuneloop_cli.local.kinds.kinds import LOCAL_KINDS
from tuneloop_cli.local.node import LocalNode, is_finished
from tuneloop_cli.local.overlay import Hardware
from tuneloop_cli.local.own_port import served_to_own_processes
from tuneloop_cli.local.processes import machine
from tuneloop_cli.local.processes.ports import LOOPBACK
from tuneloop_cli.local.query_needs import asks_prometheus
from tuneloop_cli.local.session_prometheus import SessionPrometheus
from tuneloop_cli.local.submission import DEFAULT_CLAIM, Submission
from tuneloop_operator.comparators.client import ComparatorClient
from tuneloop_operator.comparators.poller import ComparatorPoller
from tuneloop_operator.controller.baselines import Baselines
from tuneloop_operator.controller.controllers import metrics_of
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queries import Queries
from tuneloop_operator.decide.feedback_sources import FEEDBACK
from tuneloop_operator.desired.model_deployment import access, feedback
from tuneloop_operator.metrics.process import Metrics
from tuneloop_operator.names import JOB_LABEL
from tuneloop_operator.progress.server import LocalAuthenticator, ProgressServer
from tuneloop_operator.routers.local_routers import LocalRouters
from tuneloop_operator.routers.server import RouterServer
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.local.cluster.cluster import EventType
    from tuneloop_operator.cluster import Kind, Manifest

_PROGRESS_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The outcome of submitting one manifest."""

    action: Submission
    manifest: Manifest
    """The object as stored."""
    overlay: tuple[str, ...]
    """The changes that fit the manifest to this machine, for people; empty if it runs as written."""


class LocalSession:
    """One folder, its node and its operator, as an async context manager. Must be entered in the main thread."""

    def __init__(self, directory: Path, *, ranks: int | None = None, serve_port: int = 0) -> None:
        """`ranks`: CPU ranks that stand in for absent GPUs (default: the cores); `serve_port`: of the first server, 0: any free port."""
        self.node = LocalNode(directory, serve_port=serve_port)
        self._hardware = Hardware(gpus=len(machine.gpus()), ranks=ranks or machine.cores())
        self._stack = AsyncExitStack()
        self._watchers: set[asyncio.Queue[tuple[EventType, Manifest]]] = set()

    async def __aenter__(self) -> Self:
        """Lock the folder and start. Raises FolderInUse, PortInUse."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.node)
            progress, routers = (socket.create_server((LOOPBACK, 0)) for _ in range(2))
            self._settings = _settings(progress_port=progress.getsockname()[1], router_port=routers.getsockname()[1])
            metrics = Metrics()
            self._operator = operator = Operator(
                cluster=self.node.cluster, settings=self._settings, clock=_now, instruments=metrics
            )
            metrics.watch_leader(lambda: True)
            metrics.watch_depth(lambda: operator.depth)
            metrics.watch_objects(lambda: metrics_of(operator.store, now=_now()))
            await self._serve_pods(operator, stack=stack, progress=progress, routers=routers)
            self.node.listen(operator.on_event)
            self.node.cluster.subscribe(self._notify_watchers)
            self._operator_task = self.node.tasks.create_task(operator.run())
            stack.callback(self._operator_task.cancel)
            poller = ComparatorPoller(
                operator=operator, client=await stack.enter_async_context(ComparatorClient()), local=True
            )
            stack.callback(self.node.tasks.create_task(poller.run()).cancel)
            self._prometheus = await stack.enter_async_context(
                SessionPrometheus(
                    directory=self.node.folders.root / "prometheus", pods=self._pods, operator=metrics.text
                )
            )
            queries = Queries(operator, ask=self._prometheus.ask, clock=_now, on_answer=metrics.queried)
            stack.callback(self.node.tasks.create_task(queries.run()).cancel)
            baselines = Baselines(operator, ask=self._prometheus.ask_vector, clock=_now, on_answer=metrics.queried)
            stack.callback(self.node.tasks.create_task(baselines.run()).cancel)
            await stack.enter_async_context(open_door(self.node, clock=_now))
            self.node.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop the operator, then every pod with its grace period. An unfinished job continues when it is submitted again."""
        return await self._stack.__aexit__(kind, error, trace)

    async def submit(self, *manifests: Manifest) -> list[Submitted]:
        """Store validated manifests, jobs first. Raises NotAccepted, ClaimMissing, FolderUnusable, NoPrometheus before anything is changed.

        A FineTuneJob that has failed starts again and resumes from its checkpoints. A FineTuneJob that has succeeded stays as it is.
        """
        ordered = sorted(manifests, key=lambda manifest: [*LOCAL_KINDS].index(manifest["kind"]))
        for manifest in ordered:
            require_accepted(manifest, settings=self._settings)
            written = LOCAL_KINDS[manifest["kind"]].claim_written(manifest)
            prepare_claims(manifest, written=written, folders=self.node.folders)
            link_keys(self.node.folders.secret(access.VOLUME), manifest["spec"], os.environ)
        if any(map(asks_prometheus, ordered)):
            await self._prometheus.start()
        return [await self._submit(manifest) for manifest in ordered]

    async def watch(
        self, kind: Kind, name: str, *, namespace: str = "default"
    ) -> AsyncGenerator[Manifest | None, None]:
        """Yield the object now and after each change; None while there is no such object."""
        queue: asyncio.Queue[tuple[EventType, Manifest]] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield self.node.cluster.peek(kind=kind, namespace=namespace, name=name)
            while True:
                event, manifest = await queue.get()
                if key_of(manifest) == (kind, namespace, name):
                    yield None if event == "DELETED" else manifest
        finally:
            self._watchers.discard(queue)

    async def wait_for(
        self,
        kind: Kind,
        name: str,
        *,
        until: Callable[[Manifest], bool],
        namespace: str = "default",
        seconds: float | None = None,
    ) -> Manifest:
        """Return the object once it exists and `until` holds for it. Raises TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds), aclosing(self.watch(kind, name, namespace=namespace)) as changes:
            async for manifest in changes:
                if manifest is not None and until(manifest):
                    return manifest
        raise AssertionError("a watch has no end")

    async def suspend_all(self) -> None:
        """Suspend every unfinished job; return when all have saved a checkpoint and stopped. A job resumes when it is submitted again."""
        kinds = [kind for kind, local_kind in LOCAL_KINDS.items() if local_kind.can_suspend]
        running = [job for kind in kinds for job in self.node.active(kind) if not is_finished(job)]
        for job in running:
            await self.node.cluster.apply(job | {"spec": job["spec"] | {"suspend": True}})
        for job in running:
            await self._until(partial(self._has_stopped, job))
            await self._until(partial(self._no_pod_runs, job["metadata"]))

    async def abort(self) -> None:
        """Kill every pod at once. An unfinished job resumes from its newest checkpoint when it is submitted again."""
        self._operator_task.cancel()
        await self.node.close(grace=False)

    async def _submit(self, manifest: Manifest) -> Submitted:
        metadata = manifest["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        local_kind = LOCAL_KINDS[manifest["kind"]]
        old = self.node.cluster.peek(kind=manifest["kind"], namespace=namespace, name=name)
        jobs = partial(self.node.cluster.peek, kind="FineTuneJob", namespace=namespace)
        manifest = local_kind.with_base_model(manifest, lambda other: jobs(name=other))
        fitted = local_kind.fit(manifest, self._hardware, old)
        action = local_kind.submission(fitted.manifest, old)
        is_new = action in {Submission.CREATE, Submission.REPLACE}
        peek = partial(self.node.cluster.peek, kind="ModelDeployment", namespace=namespace)
        places = local_kind.feedback_places(fitted.manifest, lambda other: peek(name=other)) if is_new else {}
        remarks = local_kind.remarks(fitted.manifest, self.node.folders, old) if action is Submission.REPLACE else []
        if action is Submission.REPLACE and old is not None:
            await self._remove(old)
        if action is not Submission.UNCHANGED:
            applied = await self.node.cluster.apply(fitted.manifest)
            first = local_kind.first_status(applied, self.node.folders, old) if is_new else None
            if status := (first or {}) | ({"resolved": {FEEDBACK: places}} if places else {}):
                await self.node.cluster.patch_status(applied, status)
        stored = self.node.cluster.peek(kind=manifest["kind"], namespace=namespace, name=name)
        assert stored is not None
        self.node.release(stored["metadata"]["uid"])
        for job in local_kind.jobs_read(stored):
            self._release_finished(job, namespace=namespace)
        return Submitted(action=action, manifest=stored, overlay=(*fitted.lines, *remarks))

    async def _remove(self, old: Manifest) -> None:
        """Delete an object and wait until all objects that it owned are gone: the next object may have the same uid."""
        metadata = old["metadata"]
        owned = self.node.cluster.dependents(metadata["uid"])
        await self.node.cluster.delete(
            kind=old["kind"], namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]
        )
        await self._until(lambda: not any(map(self.node.exists, owned)))

    def _release_finished(self, name: str, *, namespace: str) -> None:
        """Release a FineTuneJob whose artifact an object uses, if the job has finished, so that the operator observes it."""
        job = self.node.cluster.peek(kind="FineTuneJob", namespace=namespace, name=name)
        if job is not None and is_finished(job):
            self.node.release(job["metadata"]["uid"])

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds()` is true. It is called again after each change of any object."""
        queue: asyncio.Queue[tuple[EventType, Manifest]] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while not holds():
                await queue.get()
        finally:
            self._watchers.discard(queue)

    async def _serve_pods(
        self, operator: Operator, *, stack: AsyncExitStack, progress: socket.socket, routers: socket.socket
    ) -> None:
        """Serve progress posts of the stages, and polls of the routers, on loopback, with a token that only this user can read."""
        token = secrets.token_urlsafe(32)
        self.node.folders.secrets.mkdir(mode=0o700, exist_ok=True)
        replace_file(self.node.folders.secrets / "token", token.encode(), mode=0o600)
        make_feedback_keys(self.node.folders.secret(feedback.VOLUME))
        posts = ProgressServer(
            authenticator=LocalAuthenticator(token),
            knows_job=operator.knows_job,
            on_progress=operator.progress,
        )
        polls = RouterServer(
            authenticator=LocalRouters(token), split_of=operator.split_of, on_report=operator.router_report
        )
        operator.on_split_change(polls.changed)
        for app, listening in ((posts.application(), progress), (polls.application(), routers)):
            await stack.enter_async_context(served_to_own_processes(app, listening))

    def _has_stopped(self, job: Manifest) -> bool:
        """Whether a job has stopped. A finished job may be deleted already, by its ttlSecondsAfterFinished."""
        kind, namespace, name = job["kind"], job["metadata"]["namespace"], job["metadata"]["name"]
        found = self.node.cluster.peek(kind=kind, namespace=namespace, name=name)
        return found is None or _is_stopped(found)

    def _no_pod_runs(self, job: Manifest) -> bool:
        """Whether no pod of a job runs any more. Pods are found by label: a pod may outlive the Job that owns it."""
        return all(
            is_terminal(pod)
            for pod in self.node.cluster.all("Pod")
            if pod["metadata"]["namespace"] == job["namespace"]
            and pod["metadata"]["labels"].get(JOB_LABEL) == job["name"]
        )

    def _pods(self) -> list[Manifest]:
        return self.node.cluster.all("Pod")

    def _notify_watchers(self, event: EventType, manifest: Manifest) -> None:
        for queue in self._watchers:
            queue.put_nowait((event, manifest))


def _now() -> datetime:
    return datetime.now(UTC)


def _settings(*, progress_port: int, router_port: int) -> OperatorSettings:
    return OperatorSettings(
        local=True,
        has_prometheus=True,  # it starts with the first object that needs it
        default_claim=DEFAULT_CLAIM,
        progress_url=f"http://{LOOPBACK}:{progress_port}",
        router_url=f"http://{LOOPBACK}:{router_port}",
        progress_interval_seconds=_PROGRESS_INTERVAL_SECONDS,
    )


def _is_stopped(job: Manifest) -> bool:
    status = job.get("status") or {}
    is_suspended = status.get("phase") == "Suspended" and "runningSince" not in status
    return is_finished(job) or is_suspended or "startTime" not in status
