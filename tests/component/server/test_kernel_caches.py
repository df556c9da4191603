"""A server's memory ends with its model, however many numbers of rows go through its packed layers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tuneloop_server.runtimes.kernel_caches import CAPACITY, VARIABLES, limit_kernel_caches

PASSES = """
import json, sys
from tuneloop_server.__main__ import main
sys.argv = ["server", "/nowhere.json"]
main()  # what each server does before it loads a model

import torch
from tuneloop_server.runtimes.packed_linear import PackedLinear

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

layer = PackedLinear(torch.nn.Linear(16, 64))
grown = []
with torch.inference_mode():
    for rows in range(1, 301):
        layer(torch.ones(rows, 16))
        if rows % 100 == 0:
            grown.append(anonymous())
print(json.dumps(grown))
"""


def memory_after_100_200_and_300_shapes(**variables: str) -> list[float]:
    """Return MiB that are no file's in a fresh process that did what a server does at its start."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", PASSES]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True, timeout=300)
    found: list[float] = json.loads(done.stdout)
    return found


def test_more_shapes_than_a_cache_keeps_take_no_more_memory():
    at_100, at_200, at_300 = memory_after_100_200_and_300_shapes()
    assert at_200 - at_100 < 20
    assert at_300 - at_200 < 20


def test_what_the_user_sets_holds():
    at_100, _, at_300 = memory_after_100_200_and_300_shapes(**dict.fromkeys(VARIABLES, "1024"))
    assert at_300 - at_100 > 60


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_the_user_set_stays_and_the_other_is_set(name):
    environment = {name: "7"}
    limit_kernel_caches(environment)
    assert environment == dict.fromkeys(VARIABLES, str(CAPACITY)) | {name: "7"}
