"""Memory that a forward pass frees stays with the process: the next pass takes it without page faults.

By default glibc gives large blocks back to the kernel, which zeroes them page by page at the next allocation: a pass of ten sentences through MiniLM
has 2,277 page faults. Blocks from 32 MiB do go back: kept in the heap, they would be split by smaller blocks, and the heap would grow
([decision 5](docs/decisions/0005-cpu-ranks-keep-freed-memory.md)).
"""

from __future__ import annotations

import ctypes
import os

_LARGE = 32 * 1024 * 1024
"""Bytes; the most that glibc allows."""
_NEVER = 2**31 - 1
"""Bytes of free memory at the end of the heap from which on it is given back; the most that `mallopt` takes."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Set how this process allocates. Where the user has set it (`GLIBC_TUNABLES`), or the C library is another one, nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or "GLIBC_TUNABLES" in os.environ:
        return
    mallopt(_MMAP_THRESHOLD, _LARGE)
    mallopt(_TRIM_THRESHOLD, _NEVER)
