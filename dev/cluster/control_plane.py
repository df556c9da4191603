"""etcd, kube-apiserver and kube-controller-manager as plain processes on loopback: `ControlPlane`.

Everything it writes is below its state folder: certificates, logs, records of its processes, kubeconfigs. Etcd keeps its data in a
tmpfs of its own mount namespace where the machine allows that (it vanishes with the process), else in the state folder.
"""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cluster import binaries, certificates, processes
from cluster.api_client import ApiClient, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STARTED_WITHIN_SECONDS = 60
_GRACE_SECONDS = {"kube-apiserver": 3.0}  # it drains idle watches for much longer, for nobody
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlaneError(Exception):
    """The control plane could not be started; the message ends with the log of the program that failed."""


@dataclass
class ControlPlane:
    """A control plane under one state folder; as a context manager it is up inside and gone after."""

    state: Path
    port_base: int = 0
    """First of four neighbouring ports: API server, etcd, etcd's peers, controller-manager. 0: free ones are chosen."""
    die_with_parent: bool = True
    """Whether the programs are killed when the thread that started them ends, however it ends."""
    audit: bool = False
    """Whether the API server writes each request's metadata to `logs/audit.log`, one JSON object a line."""
    say: Callable[[str], None] = print
    _client: ApiClient | None = field(default=None, init=False)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.state = self.state.resolve()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "pki" / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Where the audit log is, with `audit`."""
        return self.state / "logs" / "audit.log"

    @property
    def server_url(self) -> str:
        """The API server's address, `https://127.0.0.1:PORT`."""
        return str(self._settings()["url"])

    @property
    def bin(self) -> Path:
        """The folder of the programs, kubectl among them."""
        return Path(str(self._settings()["bin"]))

    def client(self) -> ApiClient:
        """Return a new client with the administrator's certificate, for a thread of its own."""
        pki = self.state / "pki"
        return ApiClient(
            server_url=self.server_url, authority=pki / "ca.crt", certificate=pki / "admin.crt", key=pki / "admin.key"
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Send one request as the administrator over a kept connection; see `ApiClient.request`."""
        self._client = self._client or self.client()
        return self._client.request(method, path, body, query, content_type)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator and return its exit status, stdout and stderr."""
        command = [str(self.bin / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def up(self) -> None:
        """Start everything and return when the API server is ready and the default service account exists.

        Raises ControlPlaneError, or binaries.BuildError or go_toolchain.ToolchainError when the programs are missing and cannot be built.
        """
        alive = [program.name for program in processes.recorded(self.state) if program.alive]
        if alive:
            raise ControlPlaneError(
                f"{self.state} already holds a running control plane ({', '.join(alive)}): end it first"
            )
        bin_folder = binaries.ensure(say=self.say)
        try:
            self._launch(bin_folder)
        except BaseException:
            self.down()
            raise

    def _launch(self, bin_folder: Path) -> None:
        started = time.monotonic()
        self._clear()
        self.state.mkdir(parents=True, exist_ok=True)
        ports = list(range(self.port_base, self.port_base + 4)) if self.port_base else _free_ports(4)
        settings = {"url": f"https://127.0.0.1:{ports[0]}", "bin": str(bin_folder), "ports": ports}
        (self.state / "cluster.json").write_text(json.dumps(settings))
        certificates.make(self.state / "pki", server_url=self.server_url)
        self._start("etcd", self._etcd(ports))
        self._start("kube-apiserver", self._api_server(ports))  # at once: it retries etcd until that listens
        self._wait_for("kube-apiserver", lambda: _answers(f"{self.server_url}/readyz"))
        self._start("kube-controller-manager", self._controller_manager(ports))
        self._wait_for("kube-controller-manager", lambda: _answers(f"https://127.0.0.1:{ports[3]}/healthz"))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait_for("the default service account", lambda: self.request("GET", account).status == 200)
        self.say(
            f"control plane at {self.server_url} is up after {time.monotonic() - started:.1f} s: export KUBECONFIG={self.kubeconfig}"
        )

    def down(self) -> None:
        """End the recorded programs and delete what they kept; logs stay. Does nothing when nothing is there."""
        if self._client:
            self._client.close()
            self._client = None
        for program in processes.recorded(
            self.state
        ):  # latest first: clients before the server, the server before its store
            processes.stop(program, state=self.state, grace_seconds=_GRACE_SECONDS.get(program.name, 8.0))
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self.state / "pki", ignore_errors=True)
        shutil.rmtree(self.state / "etcd", ignore_errors=True)
        (self.state / "cluster.json").unlink(missing_ok=True)

    def _settings(self) -> dict[str, object]:
        try:
            settings: dict[str, object] = json.loads((self.state / "cluster.json").read_text())
        except FileNotFoundError:
            raise ControlPlaneError(f"no control plane in {self.state}: start it first") from None
        return settings

    def _start(self, name: str, command: list[str]) -> None:
        self._running[name] = processes.start(name, command, state=self.state, die_with_parent=self.die_with_parent)

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; fail at once when a program ends, and at the deadline."""
        deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
        while not condition():
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise ControlPlaneError(f"{name} ended with {process.returncode}:\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                raise ControlPlaneError(
                    f"{what} was not ready within {_STARTED_WITHIN_SECONDS} s:\n{self._log_tail('kube-apiserver')}"
                )
            time.sleep(0.05)

    def _log_tail(self, name: str) -> str:
        return "\n".join((self.state / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def _program(self, name: str) -> str:
        return str(self.bin / name)

    def _etcd(self, ports: list[int]) -> list[str]:
        data = self.state / "etcd"
        data.mkdir(mode=0o700)
        clients, peers = f"http://127.0.0.1:{ports[1]}", f"http://127.0.0.1:{ports[2]}"
        command = [
            self._program("etcd"), "--name=dev", f"--data-dir={data}/data", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=dev={peers}", "--quota-backend-bytes=1500000000",
        ]  # fmt: skip
        own_tmpfs = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'mount -t tmpfs -o size=2g,mode=0700 etcd "{data}" && exec "$@"',
            "sh",
        ]
        allowed = subprocess.run([*own_tmpfs, "true"], capture_output=True, check=False).returncode == 0
        return [*own_tmpfs, *command] if allowed else command

    def _api_server(self, ports: list[int]) -> list[str]:
        pki = self.state / "pki"
        return [
            self._program("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{ports[1]}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={ports[0]}", "--endpoint-reconciler-type=none",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={pki}/service-account.pub",
            f"--service-account-signing-key-file={pki}/service-account.key", f"--service-cluster-ip-range={certificates.SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC", "--allow-privileged=true", f"--cert-dir={pki}", "--profiling=false", "--event-ttl=1h", *self._audit_flags(),
        ]  # fmt: skip

    def _audit_flags(self) -> list[str]:
        if not self.audit:
            return []
        policy = self.state / "audit-policy.json"
        policy.write_text(json.dumps(_AUDIT_POLICY))
        return [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]

    def _controller_manager(self, ports: list[int]) -> list[str]:
        pki = self.state / "pki"
        return [
            self._program("kube-controller-manager"), f"--kubeconfig={pki}/kube-controller-manager.kubeconfig", "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--secure-port={ports[3]}", "--use-service-account-credentials=true", "--profiling=false",
            f"--service-account-private-key-file={pki}/service-account.key", f"--root-ca-file={pki}/ca.crt", f"--cert-dir={pki}",
            f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
            "--authorization-always-allow-paths=/healthz,/metrics", "--kube-api-qps=300", "--kube-api-burst=500",
        ]  # fmt: skip


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on; they are held together, so that no two are the same, and given back."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _answers(url: str) -> bool:
    """Whether the address answers 200. The certificate is not checked: this asks whether something is up, and sends nothing."""
    unverified = ssl._create_unverified_context()  # noqa: SLF001 the documented way to turn verification off for one call
    try:
        with urllib.request.urlopen(url, timeout=2, context=unverified) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
