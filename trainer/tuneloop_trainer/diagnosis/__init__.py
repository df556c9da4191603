"""Finds what is wrong with a training run, and what to change. Every finding is a pure function of the curves of the run.

Training calls `findings` after each evaluation and at the end. A finding holds as long as the curves show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.diagnosis.fitting import over_fitting, under_fitting
from tuneloop_trainer.diagnosis.gradients import dead_gradients
from tuneloop_trainer.diagnosis.learning_rate import too_high, too_low
from tuneloop_trainer.diagnosis.slow_input import input_bound

if TYPE_CHECKING:
    from tuneloop_api.contract.results import Finding
    from tuneloop_trainer.diagnosis.curves import Curves, DeadTensors, RunContext


def findings(curves: Curves, context: RunContext, dead: DeadTensors, *, over: bool = False) -> list[Finding]:
    """Return the findings of a run. over: the run ends here.

    A run that learned nothing gets one cause only: the most specific one that holds.
    """
    if context.class_prior_entropy == 0:  # one class alone: there is nothing to learn
        return []
    cause = (
        dead_gradients(curves, context, dead)
        or too_high(curves, context, over=over)
        or too_low(curves, context)
        or under_fitting(curves, context, over=over)
    )
    found = (cause, over_fitting(curves, context), input_bound(curves))
    return [finding for finding in found if finding is not None]
