"""The development control plane itself: what runs is Kubernetes, and it goes away when it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster import processes
from waiting import until

DEV = Path(__file__).parents[3] / "dev"


def test_the_job_controller_makes_pods_for_a_job(control_plane, namespace):
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "two"}}
    job["spec"] = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": {"spec": pod}}
    assert control_plane.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", job).status == 201

    def both():
        pods = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/pods").body["items"]
        return pods if len(pods) == 2 else None

    pods = until(both, seconds=20, what="two pods")
    assert sorted(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in pods) == ["0", "1"]


def test_an_error_of_the_server_is_an_answer(control_plane):
    status, body = control_plane.request("GET", "/api/v1/namespaces/absent")
    assert (status, body["reason"]) == (404, "NotFound")


def test_requests_are_in_the_audit_log(control_plane, namespace):
    assert (
        f'"requestURI":"/api/v1/namespaces/{namespace}/serviceaccounts/default"' in control_plane.audit_log.read_text()
    )


def test_up_outlives_its_command_and_down_ends_every_process(tmp_path, control_plane):
    state = tmp_path / "state"
    try:
        _command("up", state)
        running = processes.recorded(state)
        assert {program.name for program in running} == {"etcd", "kube-apiserver", "kube-controller-manager"}
        assert all(program.alive for program in running)
        assert _command("status", state).count("MiB") == 3
        refused = subprocess.run(
            [DEV / "cluster/cluster", "up", "--state", state], capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1
        assert "already holds a running control plane" in refused.stderr
        assert all(program.alive for program in running)
    finally:
        _command("down", state)
    assert not any(program.alive for program in running)
    assert sorted(path.name for path in state.iterdir()) == ["logs", "pids"]


def test_a_control_plane_dies_with_the_process_that_started_it(tmp_path, control_plane):
    script = (
        "import sys, signal; from pathlib import Path; from cluster.control_plane import ControlPlane; "
        "ControlPlane(Path(sys.argv[1])).up(); print('up', flush=True); signal.pause()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        env=os.environ | {"PYTHONPATH": str(DEV)},
        stdout=subprocess.PIPE,
        text=True,
    )
    while "up\n" not in (line := parent.stdout.readline()):
        assert line, "the process ended before the control plane was up"
    running = processes.recorded(tmp_path)
    assert all(program.alive for program in running)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not any(program.alive for program in running), seconds=10, what="the end of all programs")


def _command(verb, state):
    done = subprocess.run(
        [DEV / "cluster/cluster", verb, "--state", state], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
