"""Keeps torch to the cores that the container may use. Its own default is the machine's cores, and threads past the quota stand still most of the time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.cgroup import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def usable_cores_only() -> Iterator[None]:
    """Let torch use no more threads in the block than the container has cores; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
