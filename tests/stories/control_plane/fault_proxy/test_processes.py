"""Faults of the process behind a call: it is killed, or stopped, between a write and its answer."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_proxy import Kill, Match, Rule, writes
from waiting import until

WRITER = """
import sys; from pathlib import Path; from kubeconfigs import client_of
client = client_of(Path(sys.argv[1])); print("ready", flush=True); sys.stdin.readline()
for name in "abc":
    client.post(sys.argv[2], json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}); print(name, flush=True)
"""


@contextmanager
def writer(proxy, maps):
    """A process that makes the ConfigMaps a, b and c when a line is written to it, and says each that was answered."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, proxy.kubeconfig, maps],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def is_stopped(process):
    """Whether it runs no more, by a signal, and can go on (proc(5): state T)."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("is_named", [True, False], ids=["by its pid", "as the caller"])
def test_kill_ends_a_process_between_a_write_and_its_answer(proxy, maps, stored, is_named):
    with writer(proxy, maps) as process:
        proxy.add(Rule(Match(verb="write", nth=2), Kill(pid=process.pid if is_named else None)))
        printed, _ = process.communicate("go\n", timeout=20)
    assert (process.returncode, printed) == (-signal.SIGKILL, "a\n")
    assert stored() == {"a", "b"}
    assert [(call.name, call.code) for call in writes(proxy.trace)] == [("a", 201), ("b", 201)]


def test_a_process_can_be_stopped_at_a_write_and_go_on(proxy, maps, stored):
    with writer(proxy, maps) as process:
        proxy.add(Rule(Match(verb="write", nth=1), Kill(signal=signal.SIGSTOP)))
        process.stdin.write("go\n")
        process.stdin.flush()
        until(lambda: is_stopped(process), seconds=10, what="a stopped process")
        assert stored() == {"a"}
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == "a\nb\nc\n"
