"""The programs of a cluster end, and come again, whatever state an earlier command left."""

from __future__ import annotations

import os
import signal

import pytest
from cluster import processes
from cluster.control_plane import ControlPlane
from cluster.processes import Programs, Recorded


def test_a_program_that_ends_right_before_the_signal_is_no_error(tmp_path, monkeypatch):
    programs = Programs(tmp_path, die_with_parent=True)
    programs.start("short", ["true"])
    programs._started["short"].wait()
    looks = iter([True])
    monkeypatch.setattr(Recorded, "alive", property(lambda _: next(looks, False)))
    programs.stop("short")
    assert processes.recorded(tmp_path) == []


@pytest.fixture
def idle_programs(tmp_path):
    """A folder with stand-ins for the programs of a control plane, which do nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("etcd", "kube-apiserver"):
        (folder / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_control_plane_starts_where_another_was_killed(tmp_path, idle_programs):
    state = tmp_path / "state"
    killed = ControlPlane(state)
    killed.launch(idle_programs)
    for program in processes.recorded(state):
        os.kill(program.pid, signal.SIGKILL)
        killed.programs._started[program.name].wait()
    plane = ControlPlane(state)
    try:
        plane.launch(idle_programs)
        assert [program.alive for program in processes.recorded(state)] == [True, True]
    finally:
        plane.down()
    assert processes.recorded(state) == []
