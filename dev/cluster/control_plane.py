"""etcd, kube-apiserver and kube-controller-manager as plain processes: `ControlPlane`. A node cluster adds a scheduler.

Everything it writes is below its state folder: certificates, logs, records of its processes, kubeconfigs. Etcd keeps its data in a
tmpfs of its own mount namespace where the machine allows that (it ends with the process), else in the state folder.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from free_ports import free_ports

from cluster import binaries, certificates, processes
from cluster.access import RunningCluster
from cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LOOPBACK = "127.0.0.1"
_CLIENTS_WITH_NODES = {
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kubelet-client": "/O=system:masters/CN=kube-apiserver",
}
_GRACE_SECONDS = {"kube-apiserver": 3.0}  # it would drain idle watches for much longer
_PORTS = ("kube-apiserver", "etcd", "etcd-peers", "kube-controller-manager")
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class ForNodes:
    """The settings of a control plane that nodes join."""

    address: str
    """The address on which the API server listens: an address of this machine that pods can reach."""
    clients: Mapping[str, str]
    """The node's programs with the subjects of their certificates."""


@dataclass
class ControlPlane(RunningCluster):
    """A control plane under one state folder. As a context manager it starts the control plane, and stops it at the end."""

    port_base: int = 0
    """First of four neighbouring ports: API server, etcd, etcd's peers, controller-manager. 0: free ones are chosen."""
    die_with_parent: bool = True
    """Whether the programs are killed when the thread that started them ends, however it ends."""
    audit: bool = False
    """Whether the API server writes each request's metadata to `logs/audit.log`, one JSON object a line."""
    guards_owners: bool = False
    """Whether creating a child needs a right on the finalizers of its owner, as on OpenShift. For seconds after a CRD is new, children of its objects are refused."""
    say: Callable[[str], None] = print
    for_nodes: ForNodes | None = None
    programs: processes.Programs = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.programs = processes.Programs(self.state, die_with_parent=self.die_with_parent)

    def up(self) -> None:
        """Start everything and return when the API server is ready and the default service account exists.

        Raises ClusterError; binaries.BuildError or go_toolchain.ToolchainError when the programs are missing and cannot be built.
        """
        alive = [program.name for program in processes.recorded(self.state) if program.alive]
        if alive:
            raise ClusterError(f"{self.state} already holds a running control plane ({', '.join(alive)}): end it first")
        bin_folder = binaries.ensure(say=self.say)
        started = time.monotonic()
        try:
            self.launch(bin_folder)
            self.finish()
        except BaseException:
            self.down()
            raise
        self.say(
            f"control plane at {self.server_url} is up after {time.monotonic() - started:.1f} s: export KUBECONFIG={self.kubeconfig}"
        )

    def down(self) -> None:
        """End the recorded programs and delete their data; logs stay. Does nothing if there is no record."""
        self._hang_up()
        # the latest first: clients end before the server, and the server before its store
        for program in processes.recorded(self.state):
            self.programs.stop(program.name, grace_seconds=_GRACE_SECONDS.get(program.name, 8.0))
        for folder in ("pki", "etcd"):
            shutil.rmtree(self.state / folder, ignore_errors=True)
        for file in ("cluster.json", "kubeconfig", "audit-policy.json"):
            (self.state / file).unlink(missing_ok=True)

    def launch(self, bin_folder: Path) -> None:
        """Start etcd and the API server without waiting for them, so that other programs can start meanwhile.

        No program of the state folder may run.
        """
        self.down()  # removes what a control plane left that was killed
        self.state.mkdir(parents=True, exist_ok=True)
        numbers = [self.port_base + offset for offset in range(4)] if self.port_base else free_ports(4)
        ports = dict(zip(_PORTS, numbers, strict=True))
        settings = {"url": f"https://{self._address}:{ports['kube-apiserver']}", "bin": str(bin_folder), "ports": ports}
        (self.state / "cluster.json").write_text(json.dumps(settings))
        clients = _CLIENTS_WITH_NODES | self.for_nodes.clients if self.for_nodes else {}
        certificates.make(self.state / "pki", server_url=self.server_url, more_clients=clients)
        shutil.copy(self.state / "pki" / "admin.kubeconfig", self.kubeconfig)
        self.programs.start("etcd", self._etcd())
        self.programs.start("kube-apiserver", self._api_server())  # it retries until etcd listens

    def finish(self) -> None:
        """Wait for the API server, then start its clients and wait for them."""
        self._wait_for_api_server()
        self._start_controller_manager()
        if self.for_nodes:
            self.programs.start("kube-scheduler", self._scheduler())
        self._wait_for_controller_manager()
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.programs.wait_for(
            "the default service account",
            lambda: self.request("GET", account).status == 200,
            program="kube-controller-manager",
        )

    def stop_api_server(self) -> None:
        """Kill the API server; etcd and every client of it keep running. Connections break, and new ones are refused."""
        self._hang_up()
        self.programs.stop("kube-apiserver", grace_seconds=0)

    def start_api_server(self) -> None:
        """Start the API server again, at the same address and with the same data, and return when it is ready."""
        self.programs.start("kube-apiserver", self._api_server())
        self._wait_for_api_server()

    def restart_controller_manager(self) -> None:
        """Restart the controller manager; return when it is healthy.

        A controller manager with leader election ends by itself after 10 s without an API server. This one runs without election, so it
        would go on and retry the API server after a pause that has grown to most of a minute.
        """
        self.programs.stop("kube-controller-manager", grace_seconds=0)
        self._start_controller_manager()
        self._wait_for_controller_manager()

    @property
    def _address(self) -> str:
        return self.for_nodes.address if self.for_nodes else _LOOPBACK

    def _port(self, name: str) -> int:
        return int(self._settings()["ports"][name])

    def _wait_for_api_server(self) -> None:
        ready = f"{self.server_url}/readyz"
        self.programs.wait_for("kube-apiserver", lambda: answers(ready), program="kube-apiserver")

    def _start_controller_manager(self) -> None:
        self.programs.start("kube-controller-manager", self._controller_manager())

    def _wait_for_controller_manager(self) -> None:
        health = f"https://{_LOOPBACK}:{self._port('kube-controller-manager')}/healthz"
        self.programs.wait_for("kube-controller-manager", lambda: answers(health), program="kube-controller-manager")

    def _etcd(self) -> list[str]:
        data = self.state / "etcd"
        data.mkdir(mode=0o700)
        clients, peers = (f"http://{_LOOPBACK}:{self._port(name)}" for name in ("etcd", "etcd-peers"))
        command = [
            str(self.bin / "etcd"), "--name=dev", f"--data-dir={data}/data", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=dev={peers}", "--quota-backend-bytes=1500000000",
        ]  # fmt: skip
        script = f'mount -t tmpfs -o size=2g,mode=0700 etcd "{data}" && exec "$@"'
        own_tmpfs = ["unshare", "--mount", "sh", "-c", script, "sh"]
        allowed = subprocess.run([*own_tmpfs, "true"], capture_output=True, check=False).returncode == 0
        return [*own_tmpfs, *command] if allowed else command

    def _api_server(self) -> list[str]:
        pki = self.state / "pki"
        return [
            str(self.bin / "kube-apiserver"), f"--etcd-servers=http://{_LOOPBACK}:{self._port('etcd')}",
            f"--bind-address={self._address}", f"--advertise-address={self._address}", f"--secure-port={self._port('kube-apiserver')}",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key", f"--service-cluster-ip-range={certificates.SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC", "--allow-privileged=true", f"--cert-dir={pki}", "--profiling=false", "--event-ttl=1h",
            *(f"--enable-admission-plugins={plugin}" for plugin in self._admission()),
            *(self._node_flags() if self.for_nodes else ["--endpoint-reconciler-type=none"]), *self._audit_flags(),
            *self._aggregation_flags(),
        ]  # fmt: skip

    def _aggregation_flags(self) -> list[str]:
        """Return the flags with which an APIService is answered by another API server, as kubeadm sets them."""
        pki = self.state / "pki"
        return [
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt", f"--requestheader-allowed-names={certificates.FRONT_PROXY}",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki}/{certificates.FRONT_PROXY}.crt", f"--proxy-client-key-file={pki}/{certificates.FRONT_PROXY}.key",
        ]  # fmt: skip

    def _admission(self) -> list[str]:
        """Return the admission plugins that are turned on in addition to the default ones."""
        chosen = {"NodeRestriction": self.for_nodes, "OwnerReferencesPermissionEnforcement": self.guards_owners}
        return [name for name, is_on in chosen.items() if is_on]

    def _node_flags(self) -> list[str]:
        pki = self.state / "pki"
        return [
            f"--kubelet-client-certificate={pki}/kubelet-client.crt", f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
        ]  # fmt: skip

    def _audit_flags(self) -> list[str]:
        if not self.audit:
            return []
        policy = self.state / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT_POLICY))
        return [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]

    def _controller_manager(self) -> list[str]:
        pki = self.state / "pki"
        return [
            str(self.bin / "kube-controller-manager"), f"--secure-port={self._port('kube-controller-manager')}",
            "--use-service-account-credentials=true", f"--service-account-private-key-file={pki}/service-account.key",
            f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
            "--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-downscale-stabilization=5s",  # 15 s and 5 min elsewhere
            *self._client_flags("kube-controller-manager"),
        ]  # fmt: skip

    def _scheduler(self) -> list[str]:
        (port,) = free_ports(1)
        return [str(self.bin / "kube-scheduler"), f"--secure-port={port}", *self._client_flags("kube-scheduler")]

    def _client_flags(self, name: str) -> list[str]:
        pki = self.state / "pki"
        return [
            f"--kubeconfig={pki}/{name}.kubeconfig", "--leader-elect=false", f"--bind-address={_LOOPBACK}", f"--cert-dir={pki}",
            "--profiling=false", "--authorization-always-allow-paths=/healthz,/metrics", "--kube-api-qps=300", "--kube-api-burst=500",
        ]  # fmt: skip


def answers(url: str) -> bool:
    """Whether the address answers 200. The certificate is not checked, because the request carries no data."""
    unverified = ssl._create_unverified_context()  # noqa: SLF001 the documented way to turn verification off for one call
    try:
        with urllib.request.urlopen(url, timeout=2, context=unverified) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
