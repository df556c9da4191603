"""A folder at work: pods are real small processes, sessions are ended and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import node_process
import pytest
from local_manifests import config_map, fine_tune_job, job

from tuneloop_cli.local import processes
from tuneloop_cli.local.cluster import LocalCluster
from tuneloop_cli.local.errors import FolderInUse, PortInUse, SessionFailed
from tuneloop_cli.local.node import LocalNode
from tuneloop_cli.local.object_files import ObjectFiles
from tuneloop_cli.local.pod_objects import is_true
from tuneloop_cli.local.processes import POD_UID_VARIABLE
from tuneloop_operator.errors import Refused

SECONDS = 20.0
SLEEP = ("python", "-S", "-c", "import time; time.sleep(600)")
# a child in a session of its own, as a careless program would start one, and a grandchild
TREE_CODE = """
import subprocess, sys, time
code = 'import subprocess, sys; subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(600)"])'
subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
time.sleep(600)
"""
TREE = ("python", "-S", "-c", TREE_CODE)


def until(look, what: str):
    deadline = time.monotonic() + SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.01)
    return seen


async def eventually(look, what: str):
    deadline = time.monotonic() + SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.01)
    return seen


def play(folder, story, **options):
    """Run a story inside a node; pods that are left are killed, not waited for."""

    async def whole():
        async with LocalNode(folder, **options) as node:
            node.start()
            try:
                return await story(node)
            finally:
                await node.close(grace=False)

    return asyncio.run(whole())


def start(folder, *manifests, writes: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, node_process.__file__, str(folder), json.dumps(manifests), str(writes)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_ready(process) -> subprocess.Popen:
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()
    return process


def kill(process) -> None:
    process.kill()
    process.communicate()


def stored(folder, kind="Pod"):
    return ObjectFiles(folder).read_all(kind)


def running(folder) -> list[str]:
    return [pod["metadata"]["uid"] for pod in stored(folder) if pod["status"]["phase"] == "Running"]


def alive(uids) -> set[int]:
    return processes.members([processes.PodProcess(pod_uid=uid, pid=0, start_time=-1) for uid in uids])


async def only_pod(node):
    return await eventually(lambda: node.cluster.all("Pod"), "a pod")


async def ended(node):
    def look():
        pods = node.cluster.all("Pod")
        return pods and all(pod["status"]["phase"] in {"Succeeded", "Failed"} for pod in pods) and pods[0]

    return await eventually(look, "the pod's end")


def terminated(pod):
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


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
    async def story(node):
        await node.cluster.create(job("one", "python", "-S", "-c", code))
        return await ended(node)

    pod = play(tmp_path, story)
    assert pod["status"]["phase"] == phase
    state = terminated(pod)
    assert state["exitCode"] == exit_code
    assert state["startedAt"] <= state["finishedAt"]
    assert not list((tmp_path / "pids").iterdir())


def test_a_program_that_is_not_there_fails_its_pod_with_a_reason_in_the_log(tmp_path):
    async def story(node):
        manifest = job("one", "/no/such/program", terminationMessagePolicy="FallbackToLogsOnError")
        await node.cluster.create(manifest)
        return await ended(node)

    state = terminated(play(tmp_path, story))
    assert state["exitCode"] == 127
    assert state["message"] == "cannot start /no/such/program: No such file or directory"


def test_the_log_is_for_the_user_alone_and_holds_both_streams(tmp_path):
    async def story(node):
        code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
        await node.cluster.create(job("one", "python", "-S", "-c", code))
        return await ended(node)

    pod = play(tmp_path, story)
    log = tmp_path / "logs" / "default" / f"{pod['metadata']['name']}.log"
    assert log.read_text() == "out\nerr\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("code", "policy", "message"),
    [
        pytest.param("open(path, 'w').write('x' * 5000)", "File", "x" * 4096, id="at most 4096 bytes"),
        pytest.param("print('the end'); raise SystemExit(1)", "FallbackToLogsOnError", "the end", id="else the log"),
        pytest.param("print('the end')", "FallbackToLogsOnError", None, id="the log only of a failure"),
        pytest.param("print('the end'); raise SystemExit(1)", "File", None, id="the log only if wanted"),
    ],
)
def test_the_last_words_stand_in_the_pod(tmp_path, code, policy, message):
    async def story(node):
        words = ("python", "-S", "-c", f"import sys; path = sys.argv[1]; {code}", "/dev/termination-log")
        await node.cluster.create(job("one", *words, terminationMessagePolicy=policy))
        return await ended(node)

    assert terminated(play(tmp_path, story)).get("message") == message


def test_a_pod_waits_for_its_config_map_and_says_so(tmp_path):
    async def story(node):
        mounts = [{"name": "config", "mountPath": "/etc/tuneloop"}]
        code = "import sys; print(open(sys.argv[1]).read())"
        manifest = job("one", "python", "-S", "-c", code, "/etc/tuneloop/a", volumeMounts=mounts)
        manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "settings"}}]
        await node.cluster.create(manifest)

        def waiting():
            (state,) = [pod["status"].get("containerStatuses") for pod in node.cluster.all("Pod")] or [None]
            return state and state[0]["state"].get("waiting")

        assert (await eventually(waiting, "the reason"))["message"] == "ConfigMap settings not found"
        await node.cluster.create(config_map(data={"a": "from the map"}))
        return await ended(node)

    pod = play(tmp_path, story)
    assert (tmp_path / "logs" / "default" / f"{pod['metadata']['name']}.log").read_text() == "from the map\n"


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
POLITE = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(79)); print('up', flush=True); time.sleep(600)"


@pytest.mark.parametrize(("code", "exit_code"), [(POLITE, 79), (STUBBORN, 137)], ids=["polite", "stubborn"])
def test_a_deleted_pod_gets_sigterm_and_after_its_grace_period_sigkill(tmp_path, code, exit_code):
    async def story(node):
        await node.cluster.create(job("one", "python", "-S", "-c", code, grace=1))
        (pod,) = await only_pod(node)
        log = tmp_path / "logs" / "default" / f"{pod['metadata']['name']}.log"
        await eventually(lambda: log.exists() and log.read_text(), "the program's start")
        seen = []
        node.cluster.subscribe(lambda event, manifest: seen.append((event, manifest)))
        metadata = pod["metadata"]
        await node.cluster.delete(kind="Pod", namespace="default", name=metadata["name"], uid=metadata["uid"])
        await eventually(lambda: not node.cluster.all("Pod"), "the end of the pod")
        return [manifest for _, manifest in seen if manifest["kind"] == "Pod"][-1], alive([metadata["uid"]])

    last, left = play(tmp_path, story)
    assert terminated(last)["exitCode"] == exit_code
    assert left == set()


def test_what_a_pod_leaves_behind_ends_with_it(tmp_path):
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'], start_new_session=True)"

    async def story(node):
        await node.cluster.create(job("one", "python", "-S", "-c", code))
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
            mounts = [{"name": "config", "mountPath": "/etc/tuneloop"}]
            words = ("python", "-S", "-c", code, "/etc/tuneloop/run.json")
            manifest = job(name, *words, nodes=2, volumeMounts=mounts)
            manifest["spec"]["template"]["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "settings"}}]
            await node.cluster.create(manifest)
        await eventually(lambda: len(node.cluster.all("Pod")) == 4, "four pods")
        await ended(node)

    play(tmp_path, story)
    said = {
        name: {path.read_text() for path in (tmp_path / "logs/default").glob(f"{name}-*")} for name in ("one", "two")
    }
    assert [len(each) for each in said.values()] == [1, 1]
    assert said["one"] != said["two"]
    assert all("'address': '127.0.0.1'" in line for each in said.values() for line in each)


def test_a_second_session_is_told_who_works_in_the_folder(tmp_path):
    first = said_ready(start(tmp_path))
    try:
        with pytest.raises(FolderInUse) as refused:
            play(tmp_path, only_pod)
        assert f"process {first.pid} (" in str(refused.value)
        assert "node_process.py" in str(refused.value)
        assert str(tmp_path) in str(refused.value)
    finally:
        kill(first)


def test_a_reader_needs_no_lock(tmp_path):
    first = said_ready(start(tmp_path, config_map()))
    try:
        (found,) = stored(tmp_path, "ConfigMap")
        assert found["data"] == {"a": "1"}
    finally:
        kill(first)


def test_two_folders_work_at_once(tmp_path):
    processes_ = [said_ready(start(tmp_path / name, job("gang", *SLEEP, nodes=2))) for name in ("one", "two")]
    try:
        for name in ("one", "two"):
            until(lambda name=name: len(running(tmp_path / name)) == 2, "both pods")
    finally:
        for process in processes_:
            kill(process)


def test_no_process_outlives_a_session_that_is_killed(tmp_path):
    process = said_ready(start(tmp_path, job("gang", *TREE, nodes=2)))
    uids = until(lambda: len(found := running(tmp_path)) == 2 and found, "both pods")
    until(lambda: len(alive(uids)) == 6, "both trees of three processes")
    kill(process)
    until(lambda: not alive(uids), "the end of all")


def test_what_even_the_watchdog_could_not_end_is_ended_by_the_next_session(tmp_path):
    process = said_ready(start(tmp_path, job("gang", *TREE)))
    uids = until(lambda: running(tmp_path), "the pod")
    until(lambda: len(alive(uids)) == 3, "its tree")
    (watchdog,) = [each for each in children(process.pid) if b"tuneloop_cli.local.watchdog" in command(each)]
    os.kill(watchdog, signal.SIGKILL)
    kill(process)
    assert len(until(lambda: len(left := alive(uids)) == 2 and left, "the survivors")) == 2
    play(tmp_path, lambda node: asyncio.sleep(0))
    assert not alive(uids)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_pods_of_a_killed_session_are_lost_as_with_a_node(tmp_path):
    kill_after_start(tmp_path, job("gang", *SLEEP, nodes=2))

    async def story(node):
        await eventually(
            lambda: is_true(node.cluster.all("Job")[0]["status"].get("conditions"), "Failed"), "the Job's end"
        )
        return node.cluster.all("Pod")

    pods = play(tmp_path, story)
    assert len(pods) == 2
    for pod in pods:
        assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "NodeLost")
        assert is_true(pod["status"]["conditions"], "DisruptionTarget")


def kill_after_start(folder, manifest) -> None:
    process = said_ready(start(folder, manifest))
    uids = until(lambda: len(found := running(folder)) == manifest["spec"]["completions"] and found, "the pods")
    kill(process)
    until(lambda: not alive(uids), "the end of all")


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16])
def test_a_session_that_is_killed_after_any_write_leaves_what_the_next_one_can_go_on_with(tmp_path, writes):
    process = start(tmp_path, job("gang", "python", "-S", "-c", "pass", nodes=3), writes=writes)
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL

    async def story(node):
        finished = {"Complete", "Failed"}

        def look():
            conditions = node.cluster.all("Job")[0]["status"].get("conditions", [])
            return finished & {each["type"] for each in conditions}

        return await eventually(look, "the end of the Job")

    assert play(tmp_path, story)
    statuses = [each["status"] for each in stored(tmp_path, "Job")]
    assert all(status["succeeded"] + status["failed"] == 3 for status in statuses)


def test_pods_of_a_session_that_stops_are_ended_with_their_grace(tmp_path):
    async def whole():
        async with LocalNode(tmp_path) as node:
            node.start()
            await node.cluster.create(job("one", "python", "-S", "-c", POLITE))
            (pod,) = await only_pod(node)
            log = tmp_path / "logs" / "default" / f"{pod['metadata']['name']}.log"
            await eventually(lambda: log.exists() and log.read_text(), "the program's start")

    asyncio.run(whole())
    (pod,) = stored(tmp_path)
    assert terminated(pod)["exitCode"] == 79
    assert is_true(pod["status"]["conditions"], "DisruptionTarget")


def test_an_error_of_the_caller_comes_out_as_it_is(tmp_path):
    async def story(node):
        await node.cluster.create({"kind": "Secret", "metadata": {"name": "a", "namespace": "default"}})

    with pytest.raises(Refused, match="Secret"):
        play(tmp_path, story)


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            play(tmp_path, only_pod, serve_port=port)


def test_a_node_outside_the_main_thread_is_refused(tmp_path):
    async def elsewhere():
        return await asyncio.to_thread(lambda: asyncio.run(enter()))

    async def enter():
        async with LocalNode(tmp_path):
            pass

    with pytest.raises(SessionFailed, match="main thread"):
        asyncio.run(elsewhere())


def test_an_earlier_job_is_held_until_it_is_released(tmp_path):
    earlier = LocalCluster(tmp_path)
    top = asyncio.run(earlier.create(fine_tune_job()))
    child = job("reviews-a1", *SLEEP)
    owner = {"kind": "FineTuneJob", "name": "reviews", "uid": top["metadata"]["uid"], "controller": True}
    child["metadata"]["ownerReferences"] = [owner]
    asyncio.run(earlier.create(child))

    async def story(node):
        heard = []
        node.listen(lambda event, manifest: heard.append((event, manifest["kind"])))
        await node.cluster.create(job("other", *SLEEP))
        await eventually(lambda: running(tmp_path), "the pod of another Job")
        assert {kind for _, kind in heard} == {"Job", "Pod"}
        assert len(node.cluster.all("Pod")) == 1
        assert node.active("FineTuneJob") == []
        heard.clear()
        node.release(top["metadata"]["uid"])
        assert heard == [("ADDED", "FineTuneJob"), ("ADDED", "Job")]
        await eventually(lambda: len(running(tmp_path)) == 2, "the pod of the job")

    play(tmp_path, story)


def test_every_process_of_a_pod_carries_its_uid(tmp_path):
    async def story(node):
        await node.cluster.create(
            job("one", "python", "-S", "-c", f"import os; print(os.environ['{POD_UID_VARIABLE}'])")
        )
        return await ended(node)

    pod = play(tmp_path, story)
    log = tmp_path / "logs" / "default" / f"{pod['metadata']['name']}.log"
    assert log.read_text().strip() == pod["metadata"]["uid"]
