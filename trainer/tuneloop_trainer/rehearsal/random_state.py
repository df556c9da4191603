"""Keeps the random numbers of a process as they were."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Let the block draw and seed as it likes; afterwards all generators of the CPU go on as if it had not been there."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  (libraries draw from it)
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
