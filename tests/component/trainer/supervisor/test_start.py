"""Two ways to start the process of a rank: what the supervisor relies on holds for a program and for a fork."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from tuneloop_trainer.supervisor.start import fork, program

WAIT = "import os, sys, time; os.write(1, b'out'); os.write(2, os.environb[b'RANK']); time.sleep(float(os.environ['SLEEP'])); sys.exit(7)"


def in_this_process(environment) -> int:
    os.write(1, b"out")
    os.write(2, environment["RANK"].encode())
    time.sleep(float(environment["SLEEP"]))
    return 7


WAYS = {"a program": program([sys.executable, "-S", "-c", WAIT]), "a fork": fork(in_this_process)}


@pytest.mark.parametrize("start", WAYS.values(), ids=WAYS)
def test_output_environment_and_exit_code_of(start):
    child = start({"RANK": "3", "SLEEP": "0"})
    _, status = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert (child.stdout.read(), child.stderr.read(), child.returncode) == (b"out", b"3", 7)


@pytest.mark.parametrize("start", WAYS.values(), ids=WAYS)
def test_a_group_of_its_own_and_the_default_actions_of_signals_are_given_to(start):
    child = start({"RANK": "3", "SLEEP": "600"})
    assert child.stdout.read(3) == b"out"
    assert os.getpgid(child.pid) == child.pid
    os.kill(child.pid, signal.SIGTERM)
    _, status = os.waitpid(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == -signal.SIGTERM


def test_an_error_in_a_fork_stays_there():
    def fails(_) -> int:
        sys.stderr = os.fdopen(2, "w")  # pytest's own does not write to the process's
        raise RuntimeError("no such rank")

    child = fork(fails)({})
    assert b"RuntimeError: no such rank" in child.stderr.read()
    _, status = os.waitpid(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
