"""`PlayedOperator` plays the kubelet for the operator's pods of an installed chart: the operator runs as a process, with the pod's own settings.

    with PlayedOperator(control_plane, tmp_path, namespace="tuneloop-system"):
        helm.must("install", "tuneloop", CHART, "--wait", …)

The process has the account of the pod, and ends with the pod. Ports and certificate are its own, for there is no network and no volume.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from helm_chart import environment_of
from kubeconfigs import account_kubeconfig
from operator_process import RunningOperator

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.control_plane import ControlPlane

Manifest = dict[str, Any]
_PREFIX = "TUNELOOP_"
_OF_THE_MACHINE = (
    "tls_directory",
    "health_port",
    "metrics_port",
    "progress_port",
    "progress_url",
    "router_port",
    "router_url",
    "pod_ip",
)
"""Settings that the process has of its own."""
_SELECTOR = "app.kubernetes.io/component=operator"
_PAUSE_SECONDS = 0.1


class PlayedOperator:
    """As a context manager it plays inside. On leaving it raises what went wrong."""

    def __init__(self, plane: ControlPlane, folder: Path, *, namespace: str) -> None:
        self._plane, self._folder, self._namespace = plane, folder, namespace
        self._client = plane.client()
        self.processes: dict[str, RunningOperator] = {}
        """Those that run, by the names of their pods."""
        self.logs: list[Path] = []
        """The logs of all, in the order of their starts."""
        self._problem: Exception | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, name="played-operator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._client.close()
        for process in self.processes.values():
            process.kill()
        if kind is None and self._problem is not None:
            raise self._problem

    def _play(self) -> None:
        try:
            while not self._stopped.wait(_PAUSE_SECONDS):
                self._look()
        except Exception as error:  # noqa: BLE001  (raised in the test's own thread)
            self._problem = error

    def _look(self) -> None:
        """Start a process for each new pod, say which pods are ready, and end the processes of pods that are gone."""
        reply = self._client.request("GET", self._pods, None, {"labelSelector": _SELECTOR})
        assert reply.status == 200, reply.body
        pods = {pod["metadata"]["name"]: pod for pod in reply.body["items"]}
        for name in self.processes.keys() - pods.keys():
            assert self.processes.pop(name).terminate() == 0
        for name, pod in pods.items():
            if name not in self.processes:
                self._start(name, pod)
            elif not pod["status"].get("containerStatuses") and self.processes[name].get("/readyz")[0] == 200:
                self._say_ready(name, pod)

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/pods"

    def _start(self, name: str, pod: Manifest) -> None:
        given = environment_of(pod) | {f"{_PREFIX}POD_NAME": name, f"{_PREFIX}POD_NAMESPACE": self._namespace}
        settings = {key.removeprefix(_PREFIX).lower(): value for key, value in given.items() if key.startswith(_PREFIX)}
        for key in _OF_THE_MACHINE:
            settings.pop(key, None)
        self._folder.mkdir(exist_ok=True)
        kubeconfig = account_kubeconfig(
            self._plane,
            self._folder / f"{name}.kubeconfig",
            namespace=self._namespace,
            account=pod["spec"]["serviceAccountName"],
        )
        process = RunningOperator(None, self._folder, pod=name, kubeconfig=kubeconfig, **settings)
        process.start()
        self.processes[name] = process
        self.logs.append(process.log_file)

    def _say_ready(self, name: str, pod: Manifest) -> None:
        (container,) = pod["spec"]["containers"]
        shown = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "restartCount": 0,
        }
        conditions = [{"type": kind, "status": "True"} for kind in ("ContainersReady", "Ready")]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": [shown]}
        how = {"content_type": "application/strategic-merge-patch+json"}
        reply = self._client.request("PATCH", f"{self._pods}/{name}/status", {"status": status}, **how)
        assert reply.status in {200, 404}, reply.body
