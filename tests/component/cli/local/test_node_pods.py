"""The pods of a session: every pod is a small real process, and the pod's status says how the process runs and ends."""

from __future__ import annotations

import json
import stat

import pytest
from local_manifests import config_map, job
from local_node import POLITE, alive, eventually, log_of, play, printing_pod, terminated

from tuneloop_cli.local.processes.processes import POD_UID_VARIABLE

STUBBORN = (
    "python", "-S", "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)  # fmt: skip


def played(folder, manifest):
    """Return the pod of a Job once it is over."""

    async def story(node):
        await node.cluster.create(manifest)
        return await ended(node)

    return play(folder, story)


async def ended(node):
    def ended_pod():
        pods = node.cluster.all("Pod")
        return pods and all(pod["status"]["phase"] in {"Succeeded", "Failed"} for pod in pods) and pods[0]

    return await eventually(ended_pod, "the pod's end")


def python(name, code, *arguments, **fields):
    """Return a Job that runs a line of Python."""
    return job(name, "python", "-S", "-c", code, *arguments, **fields)


def with_settings(manifest):
    """Mount the ConfigMap `settings` into the pods of a Job, at /etc/tuneloop."""
    spec = manifest["spec"]["template"]["spec"]
    spec["containers"][0]["volumeMounts"] = [{"name": "config", "mountPath": "/etc/tuneloop"}]
    spec["volumes"] = [{"name": "config", "configMap": {"name": "settings"}}]
    return manifest


@pytest.mark.parametrize(
    ("code", "phase", "exit_code"),
    [
        pytest.param("pass", "Succeeded", 0, id="success"),
        pytest.param("raise SystemExit(79)", "Failed", 79, id="exit code"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "Failed", 137, id="SIGKILL"),
        pytest.param("import os; os.kill(os.getpid(), 11)", "Failed", 139, id="SIGSEGV"),
    ],
)
def test_how_a_process_ends_stands_in_its_pod(tmp_path, code, phase, exit_code):
    pod = played(tmp_path, python("one", code))
    assert pod["status"]["phase"] == phase
    state = terminated(pod)
    assert state["exitCode"] == exit_code
    assert state["startedAt"] <= state["finishedAt"]
    assert not list((tmp_path / "pids").iterdir())


def test_a_program_that_is_not_there_fails_its_pod_with_a_reason_in_the_log(tmp_path):
    state = terminated(
        played(tmp_path, job("one", "/no/such/program", terminationMessagePolicy="FallbackToLogsOnError"))
    )
    assert state["exitCode"] == 127
    assert state["message"] == "cannot start /no/such/program: No such file or directory"


def test_the_log_is_for_the_user_alone_and_holds_both_streams(tmp_path):
    pod = played(tmp_path, python("one", "import sys; print('out', flush=True); print('err', file=sys.stderr)"))
    log = log_of(tmp_path, pod)
    assert log.read_text() == "out\nerr\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_every_process_of_a_pod_carries_its_uid(tmp_path):
    pod = played(tmp_path, python("one", f"import os; print(os.environ['{POD_UID_VARIABLE}'])"))
    assert log_of(tmp_path, pod).read_text().strip() == pod["metadata"]["uid"]


@pytest.mark.parametrize(
    ("code", "policy", "message"),
    [
        pytest.param("open(path, 'w').write('x' * 5000)", "File", "x" * 4096, id="at most 4096 bytes"),
        pytest.param("print('the end'); raise SystemExit(1)", "FallbackToLogsOnError", "the end", id="else the log"),
        pytest.param("print('the end')", "FallbackToLogsOnError", None, id="the log only of a failure"),
        pytest.param("print('the end'); raise SystemExit(1)", "File", None, id="the log only if wanted"),
    ],
)
def test_the_termination_message_stands_in_the_pod(tmp_path, code, policy, message):
    program = f"import sys; path = sys.argv[1]; {code}"
    pod = played(tmp_path, python("one", program, "/dev/termination-log", terminationMessagePolicy=policy))
    assert terminated(pod).get("message") == message


def test_a_pod_waits_for_its_config_map_and_says_so(tmp_path):
    async def story(node):
        code = "import sys; print(open(sys.argv[1]).read())"
        await node.cluster.create(with_settings(python("one", code, "/etc/tuneloop/a")))

        def waiting():
            (state,) = [pod["status"].get("containerStatuses") for pod in node.cluster.all("Pod")] or [None]
            return state and state[0]["state"].get("waiting")

        assert (await eventually(waiting, "the reason"))["message"] == "ConfigMap settings not found"
        await node.cluster.create(config_map(data={"a": "from the map"}))
        return await ended(node)

    assert log_of(tmp_path, play(tmp_path, story)).read_text() == "from the map\n"


@pytest.mark.parametrize(("program", "exit_code"), [(POLITE, 79), (STUBBORN, 137)], ids=["polite", "stubborn"])
def test_a_deleted_pod_gets_sigterm_and_after_its_grace_period_sigkill(tmp_path, program, exit_code):
    async def story(node):
        await node.cluster.create(job("one", *program, grace=1))
        metadata = (await printing_pod(node, tmp_path))["metadata"]
        versions = []
        node.cluster.subscribe(lambda event, manifest: versions.append(manifest))
        await node.cluster.delete(kind="Pod", namespace="default", name=metadata["name"], uid=metadata["uid"])
        await eventually(lambda: not node.cluster.all("Pod"), "the end of the pod")
        return [manifest for manifest in versions if manifest["kind"] == "Pod"][-1], alive([metadata["uid"]])

    last, left = play(tmp_path, story)
    assert terminated(last)["exitCode"] == exit_code
    assert left == set()


def test_what_a_pod_leaves_behind_ends_with_it(tmp_path):
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'], start_new_session=True)"

    async def story(node):
        await node.cluster.create(python("one", code))
        pod = await ended(node)
        assert alive([pod["metadata"]["uid"]]) == set()

    play(tmp_path, story)


def test_pods_of_a_job_get_the_same_rendezvous_port_and_jobs_get_different_ones(tmp_path):
    run_json = {"stage": "train", "paths": {}, "settings": {"gang": {"nodes": 2, "processesPerNode": 1}}}
    run_json["rendezvous"] = {"address": "gang-0.gang", "port": 29500}
    code = "import json, sys; print(json.load(open(sys.argv[1]))['rendezvous'])"

    async def story(node):
        await node.cluster.create(config_map(data={"run.json": json.dumps(run_json)}))
        for name in ("one", "two"):
            await node.cluster.create(with_settings(python(name, code, "/etc/tuneloop/run.json", nodes=2)))
        await eventually(lambda: len(node.cluster.all("Pod")) == 4, "four pods")
        await ended(node)

    play(tmp_path, story)
    printed = {
        name: {path.read_text() for path in (tmp_path / "logs/default").glob(f"{name}-*")} for name in ("one", "two")
    }
    assert [len(lines) for lines in printed.values()] == [1, 1]
    assert printed["one"] != printed["two"]
    assert all("'address': '127.0.0.1'" in line for lines in printed.values() for line in lines)
