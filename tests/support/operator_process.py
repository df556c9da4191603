"""The operator as a child process on a control plane: `RunningOperator`.

with RunningOperator(control_plane, tmp_path) as operator:
    operator.wait_ready()
    ...
    assert operator.terminate() == 0

Ports, certificate and log are its own. It is a fork of a process that has imported the operator, unless it is to start `fresh`: then it is an
interpreter of its own, and dies with the thread that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fork_server import Fork, Preloaded, fork
from free_ports import free_ports
from self_signed import write_certificate
from waiting import LEAST_SECONDS, deadline_after

from tuneloop_api.contract.router import split_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.control_plane import ControlPlane

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
NAMESPACE = "tuneloop-system"
_MODULES = ("tuneloop_operator.__main__", "tuneloop_operator.process", "tuneloop_operator.logs")
"""What today's operator imports, and every release since 0.1.0."""


def make_certificate(folder: Path) -> Path:
    """Write a fresh self-signed pair for loopback: tls.crt, tls.key, and ca.crt, which is the same certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / "new.crt"
    names = "DNS:localhost,IP:127.0.0.1"
    write_certificate(new, folder / "tls.key", common_name="tuneloop-progress", alternative_names=names)
    (folder / "ca.crt").write_bytes(new.read_bytes())
    new.replace(folder / "tls.crt")
    return folder


class RunningOperator:
    """One replica. As a context manager it runs inside and is gone after."""

    def __init__(
        self,
        plane: ControlPlane | None,
        folder: Path,
        *,
        pod: str = "operator-0",
        kubeconfig: Path | None = None,
        python_path: str | None = None,
        fresh: bool = False,
        **settings: Any,
    ) -> None:
        """`settings`: variables without their prefix, in lower case; `folder`: for its certificate and log.

        `kubeconfig`: by default the administrator's of `plane`, which is needed for nothing else.
        `python_path`: where the code of another release is; by default today's code runs.
        `fresh`: run `python -m tuneloop_operator`, as a pod does, and fork no process.
        """
        config = kubeconfig or (plane.kubeconfig if plane else None)
        self.folder = folder / pod
        self.health_port, self.metrics_port, self.progress_port, self.router_port = free_ports(4)
        self.pod = pod
        self.log_file = self.folder / "log"
        self.certificate = make_certificate(self.folder / "tls")
        ours = {
            "tls_directory": self.certificate,
            "health_port": self.health_port,
            "metrics_port": self.metrics_port,
            "progress_port": self.progress_port,
            "progress_url": f"https://localhost:{self.progress_port}",
            "pod_namespace": NAMESPACE,
            "pod_name": pod,
            "pod_ip": "192.0.2.1",
        }
        if python_path is None:  # release 0.1.0 knows no routers
            ours |= {"router_port": self.router_port, "router_url": f"https://localhost:{self.router_port}"}
        ours |= settings
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": python_path or os.pathsep.join(sys.path),
            "KUBECONFIG": str(config),
        } | {f"TUNELOOP_{name.upper()}": str(value) for name, value in ours.items()}
        self._is_forked = not fresh
        self._process: subprocess.Popen[bytes] | Fork | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it; its log lines are added to `log_file`."""
        if self._is_forked:
            preloaded = Preloaded(_MODULES, self.environment["PYTHONPATH"])
            self._process = fork(preloaded, "tuneloop_operator", log=self.log_file, environment=self.environment)
        else:
            self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        parent = os.getpid()

        def follow_parent() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tuneloop_operator"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=follow_parent,  # noqa: PLW1509  (it takes no lock)
            )

    @property
    def process(self) -> subprocess.Popen[bytes] | Fork:
        """The child; it must have been started."""
        assert self._process is not None
        return self._process

    def wait_ready(self) -> Self:
        """Return once /readyz says so."""
        self._until(lambda: self.get("/readyz")[0] == 200, what="ready")
        return self

    def wait_leading(self) -> Self:
        """Return once it leads."""
        self._until(lambda: self.leads, what="leading")
        return self

    @property
    def leads(self) -> bool:
        """Whether its metrics say that it leads."""
        return "\ntuneloop_leader 1.0\n" in self.metrics()

    def get(self, path: str, *, port: int | None = None) -> tuple[int, str]:
        """Return status and text of a plain HTTP GET (default: on the health port); status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.health_port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def poll_split(self, namespace: str, deployment: str, *, token: str = "made-up") -> int:
        """Ask for the split of a ModelDeployment as a router does, without waiting; return the status."""
        trusting = ssl.create_default_context(cafile=str(self.certificate / "ca.crt"))
        url = f"https://localhost:{self.router_port}{split_path(namespace, deployment)}?inForce=0&hold=0"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, context=trusting, timeout=10) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    def metrics(self) -> str:
        """Return /metrics; nothing where nobody answers."""
        return self.get("/metrics", port=self.metrics_port)[1]

    def terminate(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LEAST_SECONDS)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs, and return once it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Return the exit status once it has ended by itself."""
        return self.process.wait(LEAST_SECONDS)

    @property
    def log(self) -> str:
        """Everything that it wrote."""
        return self.log_file.read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """Its log lines, decoded; lines that are no JSON are left out."""
        lines = []
        for line in self.log.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
        return lines

    @property
    def resident_bytes(self) -> int:
        """Its memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _until(self, condition: Callable[[], bool], *, what: str) -> None:
        deadline = deadline_after(LEAST_SECONDS)
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < deadline, f"not {what} in time:\n{self.log}"
            time.sleep(0.05)
