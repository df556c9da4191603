"""No two processes of a test run are given the same port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import free_ports

DEV = Path(__file__).parents[3] / "dev"
CHOOSE = """
import random, sys, free_ports
only = [int(port) for port in sys.argv[1:]]
random.SystemRandom.sample = lambda *_: only
print(*free_ports.free_ports(len(only)))
"""


def test_a_port_that_another_process_has_chosen_is_not_given_again() -> None:
    chosen = free_ports.free_ports(3)
    other = subprocess.run(
        [sys.executable, "-c", CHOOSE, *map(str, chosen)], cwd=DEV, capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == []


def test_as_many_ports_are_given_as_are_asked_for_and_no_two_the_same() -> None:
    assert len(set(free_ports.free_ports(50))) == 50
