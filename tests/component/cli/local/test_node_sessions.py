"""Sessions in a folder: who may start a session, what a session takes over, and what is left after its stop or kill."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from local_manifests import config_map, fine_tune_job, job
from local_node import POLITE, SECONDS, alive, eventually, only_pod, play, printing_pod, terminated
from node_sessions import all_running, running, running_session, start, stored, until

from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.cluster.pod_objects import is_true
from tuneloop_cli.local.errors import FolderInUse, PortInUse, SessionFailed
from tuneloop_cli.local.node import LocalNode
from tuneloop_operator.errors import Refused

SLEEP = ("python", "-S", "-c", "import time; time.sleep(600)")
# a child in a session of its own, as a careless program would start one, and a grandchild
TREE_CODE = """
import subprocess, sys, time
code = 'import subprocess, sys; subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(600)"])'
subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
time.sleep(600)
"""
TREE = ("python", "-S", "-c", TREE_CODE)


# ---- who may start a session ----------------------------------------------------------------------------------------------------------------


def test_a_second_session_is_refused_with_the_process_that_holds_the_folder(tmp_path):
    with running_session(tmp_path) as first:
        with pytest.raises(FolderInUse) as refused:
            play(tmp_path, only_pod)
        assert f"process {first.pid} (" in str(refused.value)
        assert "node_process" in str(refused.value)
        assert str(tmp_path) in str(refused.value)


def test_a_reader_needs_no_lock(tmp_path):
    with running_session(tmp_path, config_map()):
        (found,) = stored(tmp_path, "ConfigMap")
        assert found["data"] == {"a": "1"}


def test_two_folders_work_at_once(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    gang = job("gang", *SLEEP, nodes=2)
    with running_session(first, gang), running_session(second, gang):
        all_running(first, pods=2)
        all_running(second, pods=2)


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


def test_an_error_of_the_caller_comes_out_as_it_is(tmp_path):
    async def story(node):
        await node.cluster.create({"kind": "Secret", "metadata": {"name": "a", "namespace": "default"}})

    with pytest.raises(Refused, match="Secret"):
        play(tmp_path, story)


# ---- killed ---------------------------------------------------------------------------------------------------------------------------


def test_no_process_outlives_a_session_that_is_killed(tmp_path):
    with running_session(tmp_path, job("gang", *TREE, nodes=2)):
        uids = all_running(tmp_path, pods=2)
        until(lambda: len(alive(uids)) == 6, "both trees of three processes")
    until(lambda: not alive(uids), "the end of all")


def test_what_even_the_watchdog_could_not_end_is_ended_by_the_next_session(tmp_path):
    with running_session(tmp_path, job("gang", *TREE)) as process:
        uids = all_running(tmp_path, pods=1)
        until(lambda: len(alive(uids)) == 3, "its tree")
        (watchdog,) = [pid for pid in children(process.pid) if b"tuneloop_cli.local.processes.watchdog" in command(pid)]
        os.kill(watchdog, signal.SIGKILL)
    until(lambda: len(alive(uids)) == 2, "the survivors")
    play(tmp_path, lambda node: asyncio.sleep(0))
    assert not alive(uids)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_pods_of_a_killed_session_are_lost_as_with_a_node(tmp_path):
    with running_session(tmp_path, job("gang", *SLEEP, nodes=2)):
        uids = all_running(tmp_path, pods=2)
    until(lambda: not alive(uids), "the end of all")

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


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16])
def test_a_session_that_is_killed_after_any_write_leaves_what_the_next_one_can_go_on_with(tmp_path, writes):
    process = start(tmp_path, job("gang", "python", "-S", "-c", "pass", nodes=3), writes=writes)
    assert process.wait(SECONDS) == -signal.SIGKILL

    async def story(node):
        finished = {"Complete", "Failed"}

        def end():
            conditions = node.cluster.all("Job")[0]["status"].get("conditions", [])
            return finished & {item["type"] for item in conditions}

        return await eventually(end, "the end of the Job")

    assert play(tmp_path, story)
    statuses = [stored_job["status"] for stored_job in stored(tmp_path, "Job")]
    assert all(status["succeeded"] + status["failed"] == 3 for status in statuses)


# ---- stopped, and begun again ---------------------------------------------------------------------------------------------------------


def test_pods_of_a_session_that_stops_are_ended_with_their_grace(tmp_path):
    async def whole():
        async with LocalNode(tmp_path) as node:
            node.start()
            await node.cluster.create(job("one", *POLITE))
            await printing_pod(node, tmp_path)

    asyncio.run(whole())
    (pod,) = stored(tmp_path)
    assert terminated(pod)["exitCode"] == 79
    assert is_true(pod["status"]["conditions"], "DisruptionTarget")


def test_an_earlier_job_is_held_until_it_is_released(tmp_path):
    earlier = LocalCluster(tmp_path)
    top = asyncio.run(earlier.create(fine_tune_job()))
    child = job("reviews-a1", *SLEEP)
    owner = {"kind": "FineTuneJob", "name": "reviews", "uid": top["metadata"]["uid"], "controller": True}
    child["metadata"]["ownerReferences"] = [owner]
    asyncio.run(earlier.create(child))

    async def story(node):
        events = []
        node.listen(lambda event, manifest: events.append((event, manifest["kind"])))
        await node.cluster.create(job("other", *SLEEP))
        await eventually(lambda: running(tmp_path), "the pod of another Job")
        assert {kind for _, kind in events} == {"Job", "Pod"}
        assert len(node.cluster.all("Pod")) == 1
        assert node.active("FineTuneJob") == []
        events.clear()
        node.release(top["metadata"]["uid"])
        assert events == [("ADDED", "FineTuneJob"), ("ADDED", "Job")]
        await eventually(lambda: len(running(tmp_path)) == 2, "the pod of the job")

    play(tmp_path, story)
