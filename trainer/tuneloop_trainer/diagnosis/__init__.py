"""Looks at how a training run goes, and says what is wrong with it and what to change. Each finding is a pure function of the run's own curves.

`findings` is asked at each evaluation and at the end; a finding holds as long as the curves show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.diagnosis.fitting import over_fitting, under_fitting
from tuneloop_trainer.diagnosis.gradients import dead_gradients
from tuneloop_trainer.diagnosis.learning_rate import too_high, too_low
from tuneloop_trainer.diagnosis.slow_input import input_bound

if TYPE_CHECKING:
    from tuneloop_api.contract.results import Finding
    from tuneloop_trainer.diagnosis.curves import Curves, DeadTensors, Facts


def findings(curves: Curves, facts: Facts, dead: DeadTensors, *, over: bool = False) -> list[Finding]:
    """Return what the curves tell. `over`: the run ends here.

    A run that learned nothing has one cause of these: the more particular one is told.
    """
    if facts.class_prior_entropy == 0:  # one class alone: there is nothing to learn
        return []
    cause = (
        dead_gradients(curves, facts, dead)
        or too_high(curves, facts, over=over)
        or too_low(curves, facts)
        or under_fitting(curves, facts, over=over)
    )
    found = (cause, over_fitting(curves, facts), input_bound(curves))
    return [finding for finding in found if finding is not None]
