"""A run of the mutation tool that waits for what never comes is ended; a run that computes is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "dev" / "mutants"
PROGRAM = """
import json, subprocess, sys, threading, time
import worker

worker._MOST_IDLE_SECONDS = 2.0

def waits():
    threading.Event().wait()

def computes():
    ends = time.process_time() + 3
    while time.process_time() < ends:
        pass
    return 0

def lets_another_compute():
    return subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 3: pass"]).returncode

print(json.dumps(worker.forked(globals()[sys.argv[1]], log=sys.argv[2], seconds=300)))
"""


@pytest.mark.parametrize(("run", "code"), [("waits", None), ("computes", 0), ("lets_another_compute", 0)])
def test_only_a_run_that_waits_is_ended(tmp_path, run, code):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, run, str(tmp_path / "log")],
        env={"PYTHONPATH": str(TOOL)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(ended.stdout)["code"] == code
