"""A process whose clock a test sets: its time of day jumps, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from wrong_clock import WrongClock

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import datetime, sys, time
for _ in sys.stdin:
    time.sleep(0.01)
    print(time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic(), flush=True)
"""


def test_the_time_of_day_jumps_and_what_counts_from_the_boot_goes_on(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path, hours=-1)
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, env=os.environ | clock.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for hours in (-1, 2, -1):
            clock.set(hours=hours)
            process.stdin.write("\n")
            process.stdin.flush()
            wall, date, boot, monotonic = map(float, process.stdout.readline().split())
            assert [wall, date] == pytest.approx([time.time() + hours * 3600] * 2, abs=60)
            assert boot == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=60)
            assert monotonic == pytest.approx(time.monotonic(), abs=60)
        process.stdin.close()
