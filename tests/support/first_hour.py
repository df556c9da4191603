"""The story of `docs/first-hour.md`: `live_through` follows the page and lets pods run and end where the page says that they do."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helm_chart import ROOT
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.control_plane import ControlPlane
    from command_pages import Reader
    from helm_chart import Helm
    from played_operator import PlayedOperator

Manifest = dict[str, Any]
HOME, TEAM = "tuneloop-system", "team-a"
_ACCOUNT = f"system:serviceaccount:{HOME}:tuneloop"
_JOBS = f"/apis/tuneloop.dev/v1alpha1/namespaces/{TEAM}/finetunejobs"
_READS = frozenset({"get", "list", "watch"})
_REST_SECONDS = 3.0
_GATE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write of the operator that the API server took."""

    at: datetime
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str


class _GatedHub(BaseHTTPRequestHandler):
    """A hub on which every model is gated, and nobody has accepted a licence."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815  (the server's own naming)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def gated_hub() -> Iterator[str]:
    """Run a hub of gated models; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _GatedHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def checkout(folder: Path, *, plane: ControlPlane, helm: Helm, hub: str) -> tuple[Path, dict[str, str]]:
    """Return a folder like a checkout, and the environment of somebody with the programs of the page and an administrator's kubeconfig."""
    for name in ("charts", "examples"):
        (folder / name).symlink_to(ROOT / name)
    programs = (plane.bin, helm.program.parent, Path(sys.executable).parent)
    return folder, {
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(folder),
        "KUBECONFIG": str(plane.kubeconfig),
        "HF_ENDPOINT": hub,
        "HF_TOKEN": "hf_example",
        "REGISTRY_USER": "team-a",
        "REGISTRY_PASSWORD": "example",
    }


class Hour:
    """What happened in the hour."""

    def __init__(
        self, plane: ControlPlane, reader: Reader, gates: dict[str, threading.Event], operator: PlayedOperator
    ) -> None:
        """`gates`: by `JOB/STAGE`; pods of a stage run until its gate is set."""
        self.plane, self.reader, self.operator = plane, reader, operator
        self._gates = gates
        self.refused_seconds = 0.0
        """From the creation of the gang's Job until the status of the job said that the quota refuses its pods."""
        self.differences: dict[str, str] = {}
        """What `kubectl diff` prints in each phase. After the end of the job the page asks itself."""
        self.writes_at_rest: dict[str, list[Write]] = {}
        """What the operator wrote while nothing happened."""
        self.second_job: list[Manifest] = []
        """The second job, before the uninstall and at the end."""

    def follow(self, *names: str, exit_status: int = 0) -> None:
        """Follow blocks of the page."""
        for name in names:
            self.reader.follow(name, exit_status=exit_status)

    def compare(self, when: str) -> None:
        """Record what differs between the manifest of the first job and the cluster."""
        status, printed = self.reader.run("kubectl diff -f job.yaml")
        self.differences[when] = printed if status else ""

    def rest(self, when: str) -> None:
        """Record the writes of some seconds in which nothing happens."""
        before = len(self.writes)
        time.sleep(_REST_SECONDS)
        self.writes_at_rest[when] = [write for write in self.writes[before:] if write.resource != "leases"]

    def let(self, *names: str) -> None:
        """Let the pods of stages end well."""
        for name in names:
            self._gates[name].set()

    def job(self, name: str) -> Manifest:
        """Return a job as stored."""
        job: Manifest = self.plane.request("GET", f"{_JOBS}/{name}").body
        return job

    def until_phase(self, job: str, phase: str) -> None:
        """Return once a job is in a phase."""
        until(
            lambda: self.job(job)["status"].get("phase") == phase,
            seconds=_GATE_SECONDS,
            what=f"the phase of {job}: {phase}",
        )

    def pod_of(self, job: str, run: str) -> Manifest:
        """Return the spec of a job's pod. `run`: prepare, export, or aATTEMPT-RANK."""
        pods = self.plane.request("GET", f"/api/v1/namespaces/{TEAM}/pods").body["items"]
        (pod,) = (pod for pod in pods if pod["metadata"]["name"].startswith(f"{job}-{run}-"))
        spec: Manifest = pod["spec"]
        return spec

    @property
    def writes(self) -> list[Write]:
        """What the operator has written so far; what was asked of no object is left out."""
        with self.plane.audit_log.open() as lines:
            asked = [json.loads(line) for line in lines if _ACCOUNT in line and line.endswith("\n")]
        return [_write(line) for line in asked if _is_write(line)]


def _is_write(line: Manifest) -> bool:
    is_taken = line.get("responseStatus", {}).get("code") in {200, 201}
    return line["verb"] not in _READS and is_taken and "namespace" in line.get("objectRef", {})


def _write(line: Manifest) -> Write:
    about = line["objectRef"]
    return Write(
        at=datetime.fromisoformat(line["requestReceivedTimestamp"]),
        verb=line["verb"],
        resource=about["resource"],
        subresource=about.get("subresource", ""),
        namespace=about["namespace"],
        name=about.get("name", ""),
    )


def _refused_seconds(writes: list[Write]) -> float:
    """Return the seconds from the Job of the gang to the newest status."""
    (made,) = (write.at for write in writes if (write.resource, write.name) == ("jobs", "tickets-a1"))
    newest = max(write.at for write in writes if write.subresource == "status")
    return (newest - made).total_seconds()


def live_through(hour: Hour) -> Hour:
    """Follow the page from top to bottom; return the hour."""
    for command in ("create namespace argocd", "-n argocd create configmap argocd-cm"):  # as of a cluster with Argo CD
        assert hour.plane.kubectl(*command.split()).returncode == 0
    hour.follow("namespaces", "install")
    hour.follow("validate", exit_status=2)
    hour.follow("apply")
    hour.compare("Preparing")
    hour.let("tickets/prepare")
    hour.follow("quota")
    hour.refused_seconds = _refused_seconds(hour.writes)
    hour.compare("PodsRefused")
    hour.follow("mend", "follow")
    hour.rest("Running")
    hour.compare("Running")
    hour.let("tickets/train")
    hour.until_phase("tickets", "Exporting")
    hour.compare("Exporting")
    hour.let("tickets/export")
    hour.follow("ready", "diff")
    hour.follow("frozen", exit_status=1)
    hour.follow("argo-cd", "serve")
    hour.rest("Served")
    _install_again(hour)
    return hour


def _install_again(hour: Hour) -> None:
    hour.let("tickets-2/prepare")
    hour.follow("second-job")
    hour.second_job.append(hour.job("tickets-2"))
    hour.follow("uninstall")
    hour.let("tickets-2/train", "tickets-2/export")
    hour.follow("reinstall")
    hour.compare("Reinstalled")
    hour.second_job.append(hour.job("tickets-2"))
