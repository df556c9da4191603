"""How much memory a process of this pod may lock. RDMA needs much: a device reads and writes only memory that is pinned."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH_BYTES = 1 << 30
"""Kernels give 64 KiB or 8 MiB by default, container runtimes at most some 64 MiB. Whoever raises the limit for RDMA gives gigabytes or sets no limit."""
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1))


def locked_memory_limit() -> int:
    """Return the bytes that a process may lock, `resource.RLIM_INFINITY` where there is no limit."""
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]


def locked_memory_note(devices: Sequence[str], *, limit: int) -> str | None:
    """Return a sentence about a limit that is too small for the devices (names of extended resources); None if it is no trouble.

    The kernel counts what a process registers with an RDMA device against the limit (`ib_umem_get` in drivers/infiniband/core/umem.c).
    """
    if not devices or limit == resource.RLIM_INFINITY or limit >= ENOUGH_BYTES:
        return None
    unit, size = next((unit, size) for unit, size in _UNITS if limit >= size or size == 1)
    return (
        f"The pod asks for {', '.join(devices)}, and a process may lock {limit // size} {unit} of memory (RLIMIT_MEMLOCK), which is too little for RDMA; "
        "raise LimitMEMLOCK of the container runtime on the nodes (docs/install.md, InfiniBand)."
    )
