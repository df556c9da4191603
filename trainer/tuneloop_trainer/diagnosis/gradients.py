"""The finding DeadGradients, and the measurement behind it."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.results import Finding
from tuneloop_trainer.diagnosis.curves import FEWEST_STEPS, SPAN_STEPS, DeadTensors

if TYPE_CHECKING:
    from tuneloop_trainer.diagnosis.curves import Curves, RunContext
    from tuneloop_trainer.engine.engine import Engine

STANDING_STILL = 0.01
"""Part of AdamW's epsilon below which the mean of a weight's gradients hardly moves the weight.

AdamW moves a weight by the learning rate times m / (sqrt(v) + epsilon), where m and v are means of the newest gradients and of their
squares. With m below a hundredth of epsilon the move is less than a hundredth of the learning rate, whatever v is."""
_STILL_LEARNING = 0.5
"""A loss above this part of the class prior entropy leaves much to learn, so that small gradients are no sign of success."""


def dead_gradients(curves: Curves, context: RunContext, dead: DeadTensors) -> Finding | None:
    """Tell whether the gradient of the model, or of whole matrices, has vanished while the loss is not small."""
    if curves.steps < FEWEST_STEPS or curves.span_means()[-1] < _STILL_LEARNING * context.class_prior_entropy:
        return None
    loss, norm = float(curves.span_means()[-1]), median(curves.grad_norms[-SPAN_STEPS:])
    if norm < STANDING_STILL * context.epsilon * context.trained_numbers**0.5:
        symptom = f"the gradient norm is {norm:.1g}"
    elif dead.names:
        shown = ", ".join(dead.names[:2]) + (", …" if len(dead.names) > 2 else "")
        symptom = f"no gradient reaches {len(dead.names)} of {dead.matrices} trained matrices ({shown})"
    else:
        return None
    return Finding(
        name="DeadGradients",
        message=f"{symptom} while the training loss is {loss:.3g}",
        advice="Look whether the model's files are whole and its parts are in use: a part whose outputs are all zero learns nothing. Lower "
        "training.learningRate (for example 1e-5) if this began during training, or choose other method.targetModules.",
    )


def dead_tensors(engine: Engine) -> DeadTensors:
    """Find the trained matrices that hardly move: those whose mean gradient in Adam has a small root mean square. Collective.

    Vectors are left out, since some have no gradient by nature: softmax cancels the bias of attention keys.
    """
    own: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for fragment in engine.master_weights.fragments():
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
