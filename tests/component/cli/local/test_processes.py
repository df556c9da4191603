"""Which processes belong to a pod: the recorded first process and every process with the pod's uid, but no process that reuses a pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import until

from tuneloop_cli.local.processes.processes import (
    POD_UID_VARIABLE,
    PodProcess,
    kill_survivors,
    living_processes,
    record,
    recorded,
    runs_since,
    start_time,
)

SECONDS = 20.0


@contextmanager
def sleeping(**environment: str):
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(600)"], env=os.environ | environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_start_time_is_the_kernels_own():
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    assert start_time(os.getpid()) == int(fields[19])  # field 22 of proc_pid_stat(5)


def test_a_recorded_process_is_killed_although_its_environment_lacks_the_uid(tmp_path):
    with sleeping() as process:
        record(tmp_path, pod_uid="pod", pid=process.pid)
        assert kill_survivors(tmp_path) == 1
        assert process.wait(SECONDS) == -signal.SIGKILL
    assert recorded(tmp_path) == []


@pytest.mark.parametrize("earlier", [1, 1000])
def test_a_process_that_reuses_the_pid_of_a_pod_is_not_killed(tmp_path, earlier):
    with sleeping() as process:
        started = start_time(process.pid)
        (tmp_path / "pids").mkdir()
        (tmp_path / "pids" / "pod").write_text(f"{process.pid} {started - earlier}\n")
        assert kill_survivors(tmp_path) == 0
        assert process.poll() is None
        assert runs_since(process.pid, started)
        assert not runs_since(process.pid, started - earlier)
    assert recorded(tmp_path) == []


def test_a_process_that_inherits_the_uid_belongs_to_the_pod():
    pod = PodProcess(pod_uid="pod-of-this-test", pid=0, start_time=0)
    with sleeping(**{POD_UID_VARIABLE: pod.pod_uid}) as process:
        until(lambda: living_processes([pod]), seconds=SECONDS, what="the environment of the new process")
        assert [found.pid for found in living_processes([pod])] == [process.pid]


def test_a_zombie_does_not_live():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    pod = PodProcess(pod_uid="pod", pid=process.pid, start_time=start_time(process.pid))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(process.pid) == pod.start_time, "the zombie still has its pid"
    assert living_processes([pod]) == set()
    assert not runs_since(process.pid, pod.start_time)
    process.wait()
    assert start_time(process.pid) is None
