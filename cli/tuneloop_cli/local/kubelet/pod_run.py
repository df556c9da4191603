"""The run of one pod: wait for its ConfigMaps, run its process, stop it on request, and write its status."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.termination import TERMINATION_MESSAGE_BYTES
from tuneloop_cli.local.cluster.clock import now
from tuneloop_cli.local.cluster.pod_objects import is_deleted, is_terminal
from tuneloop_cli.local.kubelet import pod_status
from tuneloop_cli.local.kubelet.container import Container, first_of
from tuneloop_cli.local.kubelet.pod_plan import (
    METRICS,
    RENDEZVOUS,
    ProcessPlan,
    config_maps_of,
    devices_of,
    plan_process,
    service_hosts_of,
)
from tuneloop_cli.local.kubelet.probe import watch_probes
from tuneloop_cli.local.processes import runtime_folders
from tuneloop_cli.local.processes.ports import LOOPBACK
from tuneloop_cli.local.routing import answers_users
from tuneloop_cli.local.service_ports import has_moved, service_ports
from tuneloop_operator.names import DEPLOYMENT_LABEL, LOCAL_METRICS_URL
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tuneloop_cli.local.cluster.cluster import LocalCluster
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_cli.local.processes.ports import Ports
    from tuneloop_cli.local.processes.warm_trainer import WarmTrainer
    from tuneloop_cli.local.processes.watchdog import Watchdog
    from tuneloop_operator.cluster import Manifest

_NODE = "this-machine"
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _FORGIVEN_AFTER_SECONDS = 1.0, 60.0, 600.0
_TAIL_LINES, _TAIL_BYTES = 80, 2048


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the pods of a session share."""

    cluster: LocalCluster
    folders: Folders
    ports: Ports
    watchdog: Watchdog
    warm: WarmTrainer | None
    """Starts the stages of jobs in less time; None on a machine with GPUs."""
    gpus: tuple[str, ...]
    serve_port: int
    """Port of the first pod that answers users; 0: any free port."""


@dataclass(kw_only=True, eq=False)
class PodRun:
    """The run of one pod. The kubelet sets each event at most once."""

    machine: Machine
    namespace: str
    name: str
    uid: str
    is_router: bool
    """Whether it carries the requests of a deployment."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """The pod is to stop."""
    session_closing: asyncio.Event = field(default_factory=asyncio.Event)
    """It is to stop because the session ends."""
    kill_now: asyncio.Event = field(default_factory=asyncio.Event)
    """It is to stop without the grace period."""

    async def run(self) -> None:
        """Run the pod from its start to its end."""
        pod = self._pod()
        if pod is not None and not is_terminal(pod) and not is_deleted(pod):
            pod["spec"]["nodeName"] = _NODE
            self.machine.cluster.update(pod)
            plan = await self._planned()
            if plan is not None:
                await self._run_until_stopped(plan)
            if self.session_closing.is_set():
                self._write(_stopped_unless_done)
        self.machine.ports.release(self.uid)
        runtime_folders.remove(self.machine.folders.root, self.uid)
        pod = self._pod()
        if pod is not None and is_deleted(pod):
            pod["metadata"]["deletionGracePeriodSeconds"] = 0
            self.machine.cluster.update(pod)

    async def _planned(self) -> ProcessPlan | None:
        """Return the process once every ConfigMap of the pod is there, and every Service that it names has an address; None if the pod is to stop before."""
        while not self.stop.is_set():
            pod = self._existing_pod()
            found = {name: self._config_map(name) for name in config_maps_of(pod)}
            maps = {name: manifest for name, manifest in found.items() if manifest is not None}
            hosts = service_hosts_of(maps.values())
            services = service_ports(self.machine.cluster, hosts)
            if len(maps) == len(found) and len(services) == len(hosts):
                return self._prepared(pod, maps, services)
            missing = [f"ConfigMap {name} not found" for name in sorted(found.keys() - maps.keys())]
            missing += [f"Service {host} has no ready pod" for host in sorted(hosts - services.keys())]
            self._write(partial(_not_startable, why=", ".join(missing)))
            await first_of(self.stop.wait(), seconds=0.5)
        return None

    def _prepared(self, pod: Manifest, config_maps: dict[str, Manifest], services: dict[str, int]) -> ProcessPlan:
        plan = plan_process(
            pod,
            config_maps=config_maps,
            folders=self.machine.folders,
            ports=self._ports(pod),
            devices=devices_of(pod, self.machine.gpus),
            inherited=os.environ,
            runtime=runtime_folders.make(self.machine.folders.root, self.uid) if self.is_router else None,
            services=services,
        )
        for folder in plan.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in plan.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return plan

    def _ports(self, pod: Manifest) -> dict[str, int]:
        """Return the pod's ports by name: one for each port of its container, or for the rendezvous the port that all pods of a Job share.

        The first is the one for requests: it is shown in the annotation of the pod.
        """
        ports, names = self.machine.ports, [port["name"] for port in _container(pod).get("ports", ())]
        if not names:
            (owner,) = pod["metadata"].get("ownerReferences") or [{"uid": self.uid}]
            return {RENDEZVOUS: ports.reserve(owner["uid"])}
        front, *others = names
        found = {front: ports.reserve(self.uid, front, wanted=self._wanted_port(pod))}
        found |= {name: ports.reserve(self.uid, name) for name in others}
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[LOCAL_URL] = f"http://{LOOPBACK}:{found[front]}"
        if METRICS in found:
            annotations[LOCAL_METRICS_URL] = f"http://{LOOPBACK}:{found[METRICS]}"
        self.machine.cluster.update(pod)
        return found

    def _wanted_port(self, pod: Manifest) -> int:
        """Return the port that the user asked for, if the pod answers users and is the first; else 0."""
        wanted = self.machine.serve_port
        name = pod["metadata"].get("labels", {}).get(DEPLOYMENT_LABEL, "")
        deployment = self.machine.cluster.peek(kind="ModelDeployment", namespace=self.namespace, name=name)
        return 0 if self.machine.ports.holds(wanted) or not answers_users(pod, deployment) else wanted

    async def _run_until_stopped(self, plan: ProcessPlan | None) -> None:
        """Run the process once. Restart policy `Always`: start it again and again, with growing pauses."""
        pause = _FIRST_PAUSE_SECONDS
        while plan is not None and not self.stop.is_set():
            began = time.monotonic()
            await self._run_once(plan)
            if is_terminal(self._existing_pod()):
                return
            pause = _FIRST_PAUSE_SECONDS if time.monotonic() - began > _FORGIVEN_AFTER_SECONDS else pause
            await first_of(self.stop.wait(), seconds=pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if plan.services:  # they may have other addresses by now
                plan = await self._planned()

    async def _run_once(self, plan: ProcessPlan) -> None:
        started, pod, folders = now(), self._existing_pod(), self.machine.folders
        log, cwd = folders.log(pod), folders.pod(pod)
        for folder in (log.parent, cwd):
            folder.mkdir(parents=True, exist_ok=True)
        plan.termination_message.unlink(missing_ok=True)
        container = await Container.start(
            plan, pod_uid=self.uid, root=folders.root, cwd=cwd, log=log, warm=self.machine.warm
        )
        self.machine.watchdog.guard(container.record)
        try:
            await self._wait_for_end(container, pod, plan=plan, started=started)
        finally:
            code = await container.reap(root=folders.root, watchdog=self.machine.watchdog)
        message = termination_message(plan.termination_message, _container(pod), log=log, failed=code != 0)
        last = pod["spec"].get("restartPolicy", "Always") == "Never" or self.stop.is_set()
        self._write(
            lambda pod: pod_status.terminated(
                pod, exit_code=code, message=message, started=started, last=last, now=now()
            )
        )

    async def _wait_for_end(self, container: Container, pod: Manifest, *, plan: ProcessPlan, started: str) -> None:
        """Return when the process has ended, when its grace period after a stop is over, or when a probe has failed.

        It is stopped as well when a Service that it connects to has moved.
        """

        def ready(holds: bool) -> None:  # noqa: FBT001  (the probe calls it with its result)
            self._write(lambda pod: pod_status.running(pod, started=started, ready=holds, now=now()))

        probed = bool(_container(pod).get("ports"))
        ready(not probed)
        waits: list[Coroutine[Any, Any, object]] = [container.ended(), self.stop.wait()]
        if probed:
            waits.append(watch_probes(_container(pod), ports=plan.ports, ready=ready))
        if plan.services:
            waits.append(has_moved(self.machine.cluster, plan.services))
        await first_of(*waits)
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
        await container.end(grace_seconds=grace, kill_now=self.kill_now)

    def _write(self, change: Callable[[Manifest], pod_status.Status]) -> None:
        pod = self._existing_pod()
        self.machine.cluster.update(pod | {"status": change(pod)})

    def _existing_pod(self) -> Manifest:
        pod = self._pod()
        assert pod is not None, "a pod with a node stays until its run has ended"
        return pod

    def _pod(self) -> Manifest | None:
        pod = self.machine.cluster.peek(kind="Pod", namespace=self.namespace, name=self.name)
        return pod if pod is not None and pod["metadata"]["uid"] == self.uid else None

    def _config_map(self, name: str) -> Manifest | None:
        return self.machine.cluster.peek(kind="ConfigMap", namespace=self.namespace, name=name)


def _container(pod: Manifest) -> dict[str, Any]:
    container: dict[str, Any] = pod["spec"]["containers"][0]
    return container


def _not_startable(pod: Manifest, *, why: str) -> pod_status.Status:
    return pod_status.waiting(pod, reason="CreateContainerConfigError", message=why, now=now())


def _stopped_unless_done(pod: Manifest) -> pod_status.Status:
    done = pod["status"].get("phase") == "Succeeded"
    return pod["status"] if done else pod_status.stopped(pod, now=now())


def termination_message(path: Path, container: dict[str, Any], *, log: Path, failed: bool) -> str:
    """Return the termination message of a container. A failed container without one gets the end of its log, if its policy says so.

    A process that was stopped before it began has no log.
    """
    if path.exists():
        with path.open("rb") as file:
            return file.read(TERMINATION_MESSAGE_BYTES).decode(errors="replace")
    if failed and log.exists() and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
    return ""
