"""The findings LearningRateTooHigh and LearningRateTooLow, from the losses and from how far a weight can move.

AdamW moves each weight by about the learning rate in a step, whatever the gradient's size (Kingma and Ba 2015, arXiv:1412.6980, section
2.1). Weights of transformers are drawn with a standard deviation of 0.02 (`initializer_range` of BERT and those after it), and a
classification head is drawn so even where the rest is pre-trained. Two limits follow: a learning rate that moves a weight by a tenth of
its size in ONE step overwrites the model; a learning rate that moves it by less than a tenth in ALL steps together changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Finding
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS, STUCK, learned_nothing

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves, RunContext

WEIGHT_SIZE = 0.02
PART = 0.1
WORSE_THAN_GUESSING = 1.5
"""A mean loss above this multiple of the class prior entropy means that the model is sure of wrong answers."""
LEARNED, FORGOTTEN = 0.75, 0.95
"""Parts of the class prior entropy: below the first a model had learned something, above the second it knows nothing any more."""
_STILL_LEARNING = 0.5
"""A loss above this part of the class prior entropy leaves much to learn."""
_FIFTH = 0.2


def too_high(curves: Curves, context: RunContext, *, over: bool) -> Finding | None:
    """Tell whether the learning rate is too high: the model became worse than guessing, lost what it had learned, or never learned.

    over: the run ends here.
    """
    means = curves.span_means()
    if not len(means):
        return None
    prior_entropy, newest, lowest = context.class_prior_entropy, float(means[-1]), float(means.min())
    start = max(prior_entropy, curves.losses[0])
    worst = float(means.max())
    if worst > WORSE_THAN_GUESSING * start:
        symptom = f"the training loss was {worst:.3g} over 20 steps, while guessing costs {prior_entropy:.3g} and the run began at {curves.losses[0]:.3g}"
    elif lowest < LEARNED * prior_entropy and newest > FORGOTTEN * prior_entropy:
        symptom = f"the training loss had come down to {lowest:.3g} and is back at {newest:.3g}, while guessing costs {prior_entropy:.3g}"
    elif learned_nothing(curves, context, over=over) and context.peak_rate >= PART * WEIGHT_SIZE:
        symptom = f"after {curves.steps} of {context.total_steps} steps the training loss is {newest:.3g}, while guessing costs {prior_entropy:.3g}"
    else:
        return None
    usual = context.method.learning_rates["encoder"]
    lower = usual if context.peak_rate >= 10 * usual else context.peak_rate / 10
    advice = (
        f"Lower training.learningRate, for example to {lower:.0e}, or use a longer warm-up (training.warmupRatio: 0.1)."
    )
    return Finding(
        name="LearningRateTooHigh", message=f"{symptom}; the learning rate is {context.peak_rate:g}", advice=advice
    )


def too_low(curves: Curves, context: RunContext) -> Finding | None:
    """Tell whether the learning rate is too low: all planned steps together can hardly move a weight, and the loss does not fall."""
    means = curves.span_means()
    if curves.steps < max(FEWEST_STEPS, _FIFTH * context.total_steps) or context.planned_path >= PART * WEIGHT_SIZE:
        return None
    first, newest = float(means[0]), float(means[-1])
    if newest < STUCK * first or newest < _STILL_LEARNING * context.class_prior_entropy:
        return None
    message = (
        f"the training loss was {first:.3g} and is {newest:.3g} after {curves.steps} of {context.total_steps} steps; with a learning rate of "
        f"{context.peak_rate:g} all steps together move a weight by about {context.planned_path:.1g}"
    )
    usual = context.method.learning_rates["encoder"]
    higher = usual if context.peak_rate <= usual / 10 else context.peak_rate * 10
    advice = f"Raise training.learningRate, for example to {higher:.0e}, or train longer (training.epochs)."
    return Finding(name="LearningRateTooLow", message=message, advice=advice)
