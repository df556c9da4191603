"""The finding about gradients that do not arrive, and how it is measured."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.results import Finding
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS, SPAN_STEPS, DeadTensors

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves, Facts
    from tuneloop_trainer.engine.engine import Engine

STANDING_STILL = 0.01
"""AdamW moves a weight by the learning rate times m / (sqrt(v) + epsilon), m and v being means of its newest gradients and of their
squares. With m below a hundredth of epsilon that is less than a hundredth of the learning rate, whatever v is."""
_STILL_LEARNING = 0.5
"""Above this part of what guessing costs there is still much to learn, so that small gradients are no sign of success."""


def dead_gradients(curves: Curves, facts: Facts, dead: DeadTensors) -> Finding | None:
    """Tell whether the gradient, or that of whole matrices, has vanished while the loss is not small."""
    if curves.steps < FEWEST_STEPS or curves.span_means()[-1] < _STILL_LEARNING * facts.class_prior_entropy:
        return None
    loss, norm = float(curves.span_means()[-1]), median(curves.grad_norms[-SPAN_STEPS:])
    if norm < STANDING_STILL * facts.epsilon * facts.trained_numbers**0.5:
        seen = f"the gradient norm is {norm:.1g}"
    elif dead.names:
        shown = ", ".join(dead.names[:2]) + (", …" if len(dead.names) > 2 else "")
        seen = f"no gradient reaches {len(dead.names)} of {dead.matrices} trained matrices ({shown})"
    else:
        return None
    return Finding(
        name="DeadGradients",
        message=f"{seen} while the training loss is {loss:.3g}",
        advice="Look whether the model's files are whole and its parts are in use: a part whose outputs are all zero learns nothing. Lower "
        "training.learningRate (for example 1e-5) if this began during training, or choose other method.targetModules.",
    )


def dead_tensors(engine: Engine) -> DeadTensors:
    """Find the trained matrices that hardly move, by Adam's mean of their gradients (root mean square over the matrix). Collective.

    Only matrices: some vectors have no gradient by nature, such as the bias of attention keys, which softmax takes out again.
    """
    own: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for fragment in engine.masters.fragments():
        if len(fragment.shape) > 1:
            own[fragment.name] = float(torch.linalg.vector_norm(fragment.views["exp_avg"])) ** 2
            sizes[fragment.name] = math.prod(fragment.shape)
    squares: dict[str, float] = {}
    for rank_squares, rank_sizes in engine.exchange([own, sizes]):
        for name, square in rank_squares.items():
            squares[name] = squares.get(name, 0.0) + square
        sizes |= rank_sizes
    limit = STANDING_STILL * engine.settings.epsilon
    names = tuple(name for name, square in squares.items() if (square / sizes[name]) ** 0.5 < limit)
    return DeadTensors(names, matrices=len(squares))
