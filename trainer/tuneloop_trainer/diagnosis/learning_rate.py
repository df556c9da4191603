"""Findings about the learning rate, from the losses and from how far a weight can move.

AdamW moves each weight by about the learning rate in a step, whatever the gradient's size (Kingma and Ba 2015, arXiv:1412.6980, section
2.1). Weights of transformers are drawn with a standard deviation of 0.02 (`initializer_range` of BERT and those after it), and a
classification head is drawn so even where the rest is pre-trained. That gives a scale: a learning rate that moves a weight by a tenth of
its size in ONE step rewrites the model; one that moves it by less than a tenth in ALL steps together changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Finding
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS, STUCK, learned_nothing

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves, Facts

WEIGHT_SIZE = 0.02
PART = 0.1
WORSE_THAN_GUESSING = 1.5
"""A mean loss of so many times what guessing costs: the model is sure of wrong answers."""
LEARNED, FORGOTTEN = 0.75, 0.95
"""Part of what guessing costs: below the first a model had learned something, above the second it knows nothing any more."""
_STILL_LEARNING = 0.5
"""Above this part of what guessing costs there is still much to learn."""
_FIFTH = 0.2


def too_high(curves: Curves, facts: Facts, *, over: bool) -> Finding | None:
    """Tell whether the learning rate throws the model about: it became worse than guessing, lost what it knew, or never learned.

    `over`: the run ends here.
    """
    means = curves.span_means()
    if not len(means):
        return None
    guessing, newest, lowest = facts.class_prior_entropy, float(means[-1]), float(means.min())
    start = max(guessing, curves.losses[0])
    worst = float(means.max())
    if worst > WORSE_THAN_GUESSING * start:
        seen = f"the training loss was {worst:.3g} over 20 steps, while guessing costs {guessing:.3g} and the run began at {curves.losses[0]:.3g}"
    elif lowest < LEARNED * guessing and newest > FORGOTTEN * guessing:
        seen = f"the training loss had come down to {lowest:.3g} and is back at {newest:.3g}, while guessing costs {guessing:.3g}"
    elif learned_nothing(curves, facts, over=over) and facts.peak_rate >= PART * WEIGHT_SIZE:
        seen = f"after {curves.steps} of {facts.total_steps} steps the training loss is {newest:.3g}, while guessing costs {guessing:.3g}"
    else:
        return None
    usual = facts.method.learning_rates["encoder"]
    lower = usual if facts.peak_rate >= 10 * usual else facts.peak_rate / 10
    advice = (
        f"Lower training.learningRate, for example to {lower:.0e}, or use a longer warm-up (training.warmupRatio: 0.1)."
    )
    return Finding(
        name="LearningRateTooHigh", message=f"{seen}; the learning rate is {facts.peak_rate:g}", advice=advice
    )


def too_low(curves: Curves, facts: Facts) -> Finding | None:
    """Tell whether the learning rate is too small to change anything: all planned steps together can hardly move a weight, and the loss stands still."""
    means = curves.span_means()
    if curves.steps < max(FEWEST_STEPS, _FIFTH * facts.total_steps) or facts.planned_path >= PART * WEIGHT_SIZE:
        return None
    first, newest = float(means[0]), float(means[-1])
    if newest < STUCK * first or newest < _STILL_LEARNING * facts.class_prior_entropy:
        return None
    message = (
        f"the training loss was {first:.3g} and is {newest:.3g} after {curves.steps} of {facts.total_steps} steps; with a learning rate of "
        f"{facts.peak_rate:g} all steps together move a weight by about {facts.planned_path:.1g}"
    )
    usual = facts.method.learning_rates["encoder"]
    higher = usual if facts.peak_rate <= usual / 10 else facts.peak_rate * 10
    advice = f"Raise training.learningRate, for example to {higher:.0e}, or train longer (training.epochs)."
    return Finding(name="LearningRateTooLow", message=message, advice=advice)
