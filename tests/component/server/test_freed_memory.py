"""What becomes of memory that a forward pass frees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource
from tuneloop_server.runtimes.freed_memory import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def use(size):
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size)))
    libc.memset(block, 1, ctypes.c_size_t(size))
    libc.free(block)

keep_freed_memory()
use(SIZE)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    use(SIZE)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 8)
"""
MIB = 1024 * 1024


def page_faults(size: int, **variables: str) -> int:
    """Return how often a block of this size, used again and again in a process of its own, needs a page from the kernel."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | variables
    command = [sys.executable, "-c", PROGRAM.replace("SIZE", str(size))]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("size", [1 * MIB, 20 * MIB, 31 * MIB])
def test_a_block_is_used_again_without_asking_the_kernel(size):
    assert page_faults(size) < 10


def test_the_largest_blocks_go_back_to_the_kernel():
    assert page_faults(40 * MIB) > 1000


def test_what_the_user_has_set_stays():
    assert page_faults(8 * MIB, GLIBC_TUNABLES="glibc.malloc.mmap_threshold=1048576") > 1000
