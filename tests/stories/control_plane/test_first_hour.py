"""A platform team's first hour, as `docs/first-hour.md` tells it: every command of the page is run, on a real API server.

The operator is a process with the settings and the account of the chart's pod. Scheduler and kubelet are played.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cluster.control_plane import ControlPlane
from command_pages import CommandPage, Reader
from helm_chart import ROOT
from played_operator import PlayedOperator
from pod_scripts import Until, before_the_end, succeed
from pod_status_patcher import PodStatusPatcher
from waiting import until

PAGE = CommandPage(text=(ROOT / "docs/first-hour.md").read_text())
HOME, TEAM = "tuneloop-system", "team-a"
ACCOUNT = f"system:serviceaccount:{HOME}:tuneloop"
JOBS = f"/apis/tuneloop.dev/v1alpha1/namespaces/{TEAM}/finetunejobs"
STAGES = ("prepare", "train", "export")
QUIET_SECONDS = 3.0


class GatedHub(BaseHTTPRequestHandler):
    """A hub on which every model is gated, and nobody has accepted a licence."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Hour:
    """What happened in the hour."""

    def __init__(self, plane: ControlPlane, reader: Reader, gates: dict[str, threading.Event]) -> None:
        self.plane, self.reader, self.gates = plane, reader, gates
        self.printed: dict[str, str] = {}
        """What the blocks printed."""
        self.differences: dict[str, str] = {}
        """What `kubectl diff` printed in each phase, in both ways to apply."""
        self.writes_at_rest: dict[str, list[str]] = {}
        """What the operator wrote while nothing happened."""

    def follow(self, *names: str, exit_status: int = 0) -> None:
        for name in names:
            self.printed[name] = self.reader.follow(name, exit_status=exit_status)
            open(f"/tmp/fh/{name}.out","w").write(self.printed[name])

    def compare(self, when: str) -> None:
        for way in ("", " --server-side --force-conflicts --field-manager=flux"):
            status, printed = self.reader.run(f"kubectl diff -f job.yaml{way}")
            self.differences[f"{when}{way}"] = "" if status == 0 else printed

    def status(self, job: str) -> dict:
        return self.plane.request("GET", f"{JOBS}/{job}").body.get("status", {})

    def until_phase(self, job: str, phase: str) -> None:
        until(lambda: self.status(job).get("phase") == phase, seconds=60, what=f"{job} is {phase}")

    def let(self, job: str, stage: str) -> None:
        """Let the pods of a stage end well."""
        self.gates[f"{job}/{stage}"].set()

    def writes(self) -> list[str]:
        """Return what the operator's account has written, as `verb resource/subresource name`, without Leases and Events."""
        found = []
        with self.plane.audit_log.open() as lines:
            for text in lines:
                if ACCOUNT not in text or not text.endswith("\n"):
                    continue
                line = json.loads(text)
                about = line.get("objectRef", {})
                if line["verb"] in {"get", "list", "watch"} or about.get("resource") in {None, "leases", "events", "tokenreviews"}:
                    continue
                resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
                found.append(f"{line['verb']} {resource} {about.get('name', '')}")
        return found

    def rest(self, when: str) -> None:
        """Record the writes of some seconds in which nothing happens."""
        before = len(self.writes())
        threading.Event().wait(QUIET_SECONDS)
        self.writes_at_rest[when] = self.writes()[before:]


@pytest.fixture(scope="module")
def plane(control_plane, tmp_path_factory):
    """A control plane without our CRDs; `control_plane` says whether there can be one."""
    with ControlPlane(tmp_path_factory.mktemp("first-hour") / "plane", audit=True) as own:
        yield own


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), GatedHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def reader(plane, helm, hub, tmp_path_factory):
    """Somebody with a checkout, the programs of the page, and an administrator's kubeconfig."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("charts", "examples"):
        (folder / name).symlink_to(ROOT / name)
    programs = (plane.bin, helm.program.parent, Path(sys.executable).parent)
    environment = {
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(folder),
        "KUBECONFIG": str(plane.kubeconfig),
        "HF_ENDPOINT": hub,
        "HF_TOKEN": "hf_example",
        "REGISTRY_USER": "team-a",
        "REGISTRY_PASSWORD": "example",
    }
    return Reader(PAGE, folder, environment)


@pytest.fixture(scope="module")
def hour(plane, reader, tmp_path_factory):
    """The whole page, from top to bottom."""
    gates = {f"{job}/{stage}": threading.Event() for job in ("tickets", "tickets-2") for stage in STAGES}
    scripts = {name: before_the_end(succeed, Until(event)) for name, event in gates.items()}
    hour = Hour(plane, reader, gates)
    plane.kubectl("create", "namespace", "argocd")
    plane.kubectl("-n", "argocd", "create", "configmap", "argocd-cm")
    with (
        PlayedOperator(plane, tmp_path_factory.mktemp("operator"), namespace=HOME),
        PodStatusPatcher(plane, namespace=TEAM, scripts=scripts),
    ):
        live_through(hour)
        yield hour


def live_through(hour: Hour) -> None:
    hour.follow("namespaces", "install")
    hour.follow("validate", exit_status=2)
    hour.follow("apply")
    hour.compare("Preparing")
    hour.let("tickets", "prepare")
    hour.follow("quota")
    hour.compare("PodsRefused")
    hour.follow("mend", "follow")
    hour.rest("Training")
    hour.compare("Running")
    hour.let("tickets", "train")
    hour.until_phase("tickets", "Exporting")
    hour.compare("Exporting")
    hour.let("tickets", "export")
    hour.follow("ready", "diff", "argo-cd")
    hour.compare("Succeeded")
    hour.let("tickets-2", "prepare")
    hour.follow("second-job", "uninstall")
    hour.let("tickets-2", "train")
    hour.let("tickets-2", "export")
    hour.follow("reinstall")


def test_every_command_of_the_page_is_run_in_its_order(hour):
    assert hour.reader.done == list(PAGE.blocks)
    assert PAGE.fences == len(PAGE.blocks)


def test_the_manifest_in_git_is_what_is_stored_in_every_phase(hour):
    assert len(hour.differences) == 10
    assert {when: difference for when, difference in hour.differences.items() if difference} == {}


def test_a_job_at_rest_is_not_written(hour):
    assert [line for lines in hour.writes_at_rest.values() for line in lines] == []


def test_the_operator_writes_status_and_its_own_children_alone(hour):
    counts = Counter(line.rpartition(" ")[0] for line in hour.writes())
    for line, n in sorted(counts.items()):
        print(n, line)
    for name, text in hour.printed.items():
        print("=====", name)
        print(text)
    raise AssertionError
