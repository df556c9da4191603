"""The finding InputBound: the steps wait too long for their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.results import Finding

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves

WINDOW_STEPS, FEWEST_STEPS = 100, 20
TOO_MUCH = 0.2
"""Part of a step's time. Nothing is computed while a batch is made: at this limit a fifth of the cost of the machines is lost."""
_TRIMMED = 0.05
"""Part of the steps, those with the longest waits, that is left out: a single stall of a network volume is no slow input."""


def input_bound(curves: Curves) -> Finding | None:
    """Tell whether rank 0 spends a large part of its newest steps in reading rows. The first step opens files and does not count."""
    waits = np.array(curves.input_seconds[1:][-WINDOW_STEPS:])
    seconds = np.array(curves.seconds[1:][-WINDOW_STEPS:])
    if len(waits) < FEWEST_STEPS:
        return None
    kept = np.argsort(waits, kind="stable")[: len(waits) - int(np.ceil(_TRIMMED * len(waits)))]
    wait, step = float(waits[kept].mean()), float(seconds[kept].mean())
    if wait < TOO_MUCH * step:
        return None
    return Finding(
        name="InputBound",
        message=f"{wait / step:.0%} of a step's time ({wait:.3g} of {step:.3g} s) goes into reading its rows",
        advice="Put the claim on faster storage (storage.claim with an SSD class), or give the pods memory to keep the prepared data in "
        "(resources.memory: 32Gi); other jobs on the same volume may be what slows it down.",
    )
