"""The mutation tool notes each test that starts a process, since it cannot see what is called there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "dev" / "mutants"
PROGRAM = """
import multiprocessing, os, socket, subprocess, sys
from starts import starts_a_process

starts = 0

def audited(event, arguments):
    global starts
    starts += starts_a_process(event, arguments)

if __name__ == "__main__":
    sys.addaudithook(audited)
    for _ in range(3):
        starts = 0
        {start}
        print(starts > 0)
"""
STARTS = {
    "a program": ("subprocess.run(['true'])", True),
    "a fork": ("os.fork() or os._exit(0)", True),
    "a process of the fork server": ("p = multiprocessing.get_context('forkserver').Process(target=print); p.start(); p.join()", True),
    "a connection": ("socket.create_server(('127.0.0.1', 0)); socket.socket().connect_ex(('127.0.0.1', 9))", False),
}  # fmt: skip


@pytest.mark.parametrize(("start", "counts"), STARTS.values(), ids=STARTS.keys())
def test_each_start_of_a_process_is_noted(tmp_path, start, counts):
    (tmp_path / "program.py").write_text(PROGRAM.replace("{start}", start))
    ended = subprocess.run(
        [sys.executable, tmp_path / "program.py"], env={"PYTHONPATH": str(TOOL)}, capture_output=True, text=True, check=True, timeout=60
    )  # fmt: skip
    assert [line for line in ended.stdout.splitlines() if line] == [str(counts)] * 3
