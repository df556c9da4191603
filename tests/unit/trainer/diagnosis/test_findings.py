"""The findings of given curves: which curves have each finding, and which have none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tuneloop_api.contract.results import (
    TerminationMessage,
    TrainSummary,
)
from tuneloop_api.contract.termination import TERMINATION_MESSAGE_BYTES, fit_termination_message
from tuneloop_trainer.diagnosis import findings
from tuneloop_trainer.diagnosis.curves import Curves, DeadTensors, RunContext
from tuneloop_trainer.methods.full import FULL
from tuneloop_trainer.methods.lora import LORA

if TYPE_CHECKING:
    from collections.abc import Sequence

ALIVE = DeadTensors((), matrices=20)
PRIOR_ENTROPY = math.log(2)
STEPS = 200
LEARNING = np.linspace(0.7, 0.2, STEPS)
FLAT = np.full(STEPS, 0.69)


def context(**given: Any) -> RunContext:
    usual = {
        "total_steps": STEPS, "steps_per_epoch": 50, "peak_rate": 1e-3, "planned_path": 0.1, "class_prior_entropy": PRIOR_ENTROPY,
        "validation_targets": 100, "epsilon": 1e-8, "trained_numbers": 14_000, "method": FULL,
    }  # fmt: skip
    return RunContext(**usual | given)


def curves(
    losses: Sequence[float],
    *,
    norms: Sequence[float] | None = None,
    waits: Sequence[float] | None = None,
    evaluations: Sequence[tuple[int, float, float]] = (),
) -> Curves:
    made = Curves()
    for step, loss in enumerate(losses):
        norm, wait = (norms[step] if norms is not None else 1.0), (waits[step] if waits is not None else 0.01)
        made.add({"kind": "step", "loss": loss, "grad_norm": norm, "seconds": 1.0, "input_seconds": wait})
    for step, loss, accuracy in evaluations:
        made.add({"kind": "evaluation", "step": step, "loss": loss, "accuracy": accuracy})
    return made


def named(
    found: Curves, known: RunContext | None = None, *, dead: DeadTensors = ALIVE, over: bool = False
) -> list[str]:
    return [finding.name for finding in findings(found, known or context(), dead, over=over)]


def evaluated(losses: Sequence[float], accuracies: Sequence[float]) -> list[tuple[int, float, float]]:
    return [
        (50 * number, loss, accuracy) for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("losses", "accuracies", "found"),
    [
        pytest.param([0.5, 0.6, 0.7, 0.8], [0.8, 0.8, 0.78, 0.79], ["OverFitting"], id="others get worse"),
        pytest.param([0.5, 0.6, 0.7, 0.8], [0.8, 0.85, 0.88, 0.9], [], id="too sure of itself, but better"),
        pytest.param([0.5, 0.52, 0.53, 0.54], [0.8] * 4, [], id="hardly worse"),
        pytest.param([0.5, 0.49, 0.48, 0.7], [0.8] * 4, [], id="worse only once"),
        pytest.param([0.1, 0.12, 0.14, 0.16], [0.9] * 4, [], id="the training rows are no better"),
    ],
)
def test_over_fitting(losses, accuracies, found):
    assert named(curves(LEARNING, evaluations=evaluated(losses, accuracies))) == found


@pytest.mark.parametrize(
    ("steps", "over", "found"),
    [
        pytest.param(STEPS, False, ["UnderFitting"], id="at the end"),
        pytest.param(STEPS // 2, False, [], id="half-way it may still begin to learn"),
        pytest.param(STEPS // 2, True, ["UnderFitting"], id="stopped half-way"),
    ],
)
def test_under_fitting(steps, over, found):
    assert named(curves(FLAT[:steps]), over=over) == found


def test_labels_that_are_seldom_are_no_success():
    seldom = context(class_prior_entropy=0.0560)  # of 99 rows to 1
    assert named(curves(np.full(STEPS, 0.055)), seldom, over=True) == ["UnderFitting"]
    assert named(curves(np.full(STEPS, 0.02)), seldom, over=True) == []


@pytest.mark.parametrize(
    ("losses", "rate", "found"),
    [
        pytest.param([0.7, *np.full(59, 3.0)], 1e-4, True, id="worse than guessing"),
        pytest.param([2.0, *np.full(59, 2.0)], 1e-4, False, id="a head that began badly"),
        pytest.param([*LEARNING, *np.full(30, 0.69)], 1e-4, True, id="what was learned is lost"),
        pytest.param(FLAT[:180], 2e-3, True, id="each step rewrites the model, which learns nothing"),
        pytest.param(FLAT[:179], 2e-3, False, id="it may still begin to learn"),
        pytest.param(LEARNING, 1.0, False, id="it learns all the same"),
    ],
)
def test_a_learning_rate_that_is_too_high(losses, rate, found):
    assert ("LearningRateTooHigh" in named(curves(losses), context(peak_rate=rate))) is found


@pytest.mark.parametrize(
    ("losses", "path", "found"),
    [
        pytest.param(FLAT[:60], 1e-6, True, id="nothing moves"),
        pytest.param(FLAT[:39], 1e-6, False, id="too early to tell"),
        pytest.param(FLAT[:60], 0.1, False, id="weights can move"),
        pytest.param(LEARNING, 1e-6, False, id="it learns all the same"),
        pytest.param(np.full(60, 0.1), 1e-6, False, id="there was little to learn"),
    ],
)
def test_a_learning_rate_that_is_too_low(losses, path, found):
    assert ("LearningRateTooLow" in named(curves(losses), context(planned_path=path))) is found


@pytest.mark.parametrize(
    ("waits", "found"),
    [
        pytest.param([0.3] * 60, ["InputBound"], id="a third of each step"),
        pytest.param([0.1] * 60, [], id="a tenth"),
        pytest.param([0.01] * 58 + [0.9, 0.9], [], id="one stall"),
        pytest.param([0.9] + [0.01] * 59, [], id="the first step"),
        pytest.param([0.3] * 20, [], id="too few steps"),
    ],
)
def test_slow_input(waits, found):
    assert named(curves(LEARNING[: len(waits)], waits=waits)) == found


@pytest.mark.parametrize(
    ("losses", "norm", "dead", "found"),
    [
        pytest.param(FLAT, 0.0, (), True, id="no gradient at all"),
        pytest.param(FLAT, 1e-9, (), True, id="one that Adam takes for nothing"),
        pytest.param(FLAT, 1e-3, (), False, id="a small one"),
        pytest.param(FLAT, 1.0, ("layer.1.weight",), True, id="none in one matrix"),
        pytest.param(np.full(60, 1e-3), 1e-9, (), False, id="there is nothing left to learn"),
    ],
)
def test_dead_gradients(losses, norm, dead, found):
    observed = curves(losses, norms=[norm] * len(losses))
    assert ("DeadGradients" in named(observed, dead=DeadTensors(dead, matrices=20))) is found


def test_a_run_that_learned_nothing_gets_one_cause():
    found = named(curves(FLAT, norms=[0.0] * STEPS), context(planned_path=1e-6, peak_rate=1.0), over=True)
    assert found == ["DeadGradients"]


def test_one_class_alone_tells_nothing():
    assert named(curves(np.zeros(STEPS)), context(class_prior_entropy=0.0), over=True) == []


def test_a_curve_that_is_read_back_from_the_log_is_the_same():
    lines = [
        {"kind": "finding", "step": 3, "name": "InputBound"},
        {"kind": "step", "loss": 0.5, "grad_norm": 1, "seconds": 2},
    ]
    made = Curves()
    for line in lines:
        made.add(line)
    assert (made.steps, list(made.input_seconds)) == (1, [0.0])


def test_all_that_can_be_found_at_once_fits_into_a_termination_message():
    worst = curves(
        [*LEARNING, *np.full(60, 3.0), *np.linspace(0.1, 0.05, 140)],
        waits=[0.5] * 400,
        evaluations=[(100, 0.5, 0.8), (300, 0.9, 0.8), (400, 0.9, 0.8)],
    )
    found = findings(worst, context(method=LORA, total_steps=400), ALIVE)
    assert [finding.name for finding in found] == ["LearningRateTooHigh", "OverFitting", "InputBound"]
    summary = TrainSummary(start_step=0, steps=400, world_size=16, findings=found)
    message = TerminationMessage(stage="train", outcome="Failed", message="x" * 300, hint="y" * 300, train=summary)
    assert len(fit_termination_message(message)) < TERMINATION_MESSAGE_BYTES * 0.7
