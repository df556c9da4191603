"""Findings about how well the model fits its training rows, and others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.results import Finding
from tuneloop_trainer.diagnosis.curves import learned_nothing

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves, Facts

WORSE = 1.1
"""Rise of the validation loss over its lowest value that counts.

Prechelt (1998, "Early stopping, but when?") stops training at a rise ("generalization loss") of 1 to 5 %, or when the loss has risen
several times in a row. A finding asks for more: 10 %, twice in a row.
"""


def over_fitting(curves: Curves, facts: Facts) -> Finding | None:
    """Tell whether the model learns its training rows by heart: they get better, and others get worse.

    The validation loss has risen twice in a row, the training loss has fallen below the lowest validation loss, and the accuracy has not
    grown by more than its standard error meanwhile. A model that only becomes too sure of itself is still getting better.
    """
    validation = curves.validation_losses
    best = int(np.argmin(validation)) if validation else 0
    if len(validation) - best < 3:
        return None
    lowest, newest = validation[best], validation[-1]
    since = curves.losses[curves.evaluated_steps[-2] : curves.evaluated_steps[-1]]
    accuracy, then = curves.validation_accuracies[-1], curves.validation_accuracies[best]
    error = math.sqrt(then * (1 - then) / facts.validation_targets)
    if min(validation[-2:]) < WORSE * lowest or np.mean(since) >= lowest or accuracy > then + error:
        return None
    best_step = curves.evaluated_steps[best]
    message = (
        f"the validation loss was lowest at step {best_step} ({lowest:.3g}) and is {newest:.3g} now, while the training loss has come down "
        f"to {np.mean(since):.3g}"
    )
    epochs = max(1, math.ceil(best_step / facts.steps_per_epoch))
    smaller = "".join(f"{change}, " for change in facts.method.smaller)
    advice = (
        f"Train shorter (training.epochs: {epochs}, or training.earlyStopping: {{patience: 2}}), or hold the model back "
        f"({smaller}training.dropout: 0.2, training.weightDecay: 0.1); more rows help most."
    )
    return Finding(name="OverFitting", message=message, advice=advice)


def under_fitting(curves: Curves, facts: Facts, *, over: bool) -> Finding | None:
    """Tell whether a run that is nearly over has learned hardly more than how often each class occurs. `over`: it ends here."""
    if not learned_nothing(curves, facts, over=over):
        return None
    newest = float(curves.span_means()[-1])
    message = (
        f"the training loss is {newest:.3g} after {curves.steps} steps, and a model that only knows how often each class occurs has "
        f"{facts.class_prior_entropy:.3g}"
    )
    epochs = max(3, 2 * math.ceil(curves.steps / facts.steps_per_epoch))
    larger = " or ".join(facts.method.larger) or "a larger model"
    advice = (
        f"Train longer (training.epochs: {epochs}), with a learning rate 3 times as high or as low, or with more room to learn ({larger}); "
        "also look in the data report whether labels and texts belong together."
    )
    return Finding(name="UnderFitting", message=message, advice=advice)
