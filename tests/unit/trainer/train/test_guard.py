"""What counts as a rise of the loss, and when it is there to stay."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_trainer.errors import NonFiniteLossError
from tuneloop_trainer.failures import failure_of
from tuneloop_trainer.stage_result import failed
from tuneloop_trainer.training.loss_spikes import (
    PATIENCE_AT_END_STEPS,
    PATIENCE_STEPS,
    WINDOW_STEPS,
    LossSpikeDetector,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GUESSING = math.log(2)


def watched(losses: Sequence[float], guard: LossSpikeDetector | None = None) -> LossSpikeDetector:
    guard = guard or LossSpikeDetector(class_prior_entropy=GUESSING)
    for step, loss in enumerate(losses, 1):
        guard.see(step, loss)
    return guard


def healthy(*, seed: int, steps: int = 600, rows: int = 16, wrong: float = 0.03) -> NDArray[np.float64]:
    """Losses of batches of a model that learns; some labels are wrong, which costs more the surer the model is."""
    source = np.random.default_rng(seed)
    sure = 0.05 + 6 * (1 - np.exp(-np.arange(steps) / 150))
    margins = source.normal(sure[:, None], 1.0, (steps, rows))
    margins[source.random((steps, rows)) < wrong] *= -1
    return np.log1p(np.exp(-margins)).mean(axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_no_healthy_run_is_stopped(seed):
    watched(healthy(seed=seed)).end()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.1), st.sampled_from([8, 16, 32]))
def test_wrong_labels_stop_no_run(seed, wrong, rows):
    watched(healthy(seed=seed, rows=rows, wrong=wrong)).end()


def test_a_rise_is_doubtful_at_once_and_over_with_the_first_usual_loss():
    guard = watched([0.3, 0.31] * 30)
    guard.see(61, 4.0)
    assert guard.doubtful
    guard.see(62, 0.32)
    assert not guard.doubtful


def test_a_rise_that_stays_is_an_error_that_names_its_first_step():
    told = r"rose at step 61 .* for 50 steps: it was 0\.305 before and is 4"
    with pytest.raises(NonFiniteLossError, match=told) as raised:
        watched([0.3, 0.31] * 30 + [4.0] * PATIENCE_STEPS)
    assert failed(failure_of(raised.value), stage="train", rank=0).step == 61


@pytest.mark.parametrize(
    ("steps", "bad"), [pytest.param(1, False, id="one odd batch"), pytest.param(PATIENCE_AT_END_STEPS, True, id="many")]
)
def test_a_run_may_not_end_in_a_rise_that_is_no_single_batch(steps, bad):
    guard = watched([0.3, 0.31] * 30 + [4.0] * steps)
    if bad:
        with pytest.raises(NonFiniteLossError):
            guard.end()
    else:
        guard.end()


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        pytest.param([0.3] * (WINDOW_STEPS - 1) + [50.0], "nobody knows yet what is usual", id="too early"),
        pytest.param([0.01] * 60 + [0.3], "a model that is better than half of guessing is good", id="still good"),
        pytest.param([0.3, 0.5] * 30 + [1.4], "losses that spread widely reach further", id="within the spread"),
    ],
)
def test_no_rise(losses, why):
    assert not watched(losses).doubtful, why


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(WINDOW_STEPS, 400))
def test_a_guard_that_is_rebuilt_from_the_log_sees_what_the_first_one_saw(seed, resumed_after):
    losses = [*healthy(seed=seed, steps=400, wrong=0.1), 9.0]
    unbroken = watched(losses)
    rebuilt = LossSpikeDetector(class_prior_entropy=GUESSING)
    rebuilt.remember(losses[:resumed_after])
    for step, loss in enumerate(losses[resumed_after:], resumed_after + 1):
        rebuilt.see(step, loss)
    assert rebuilt.doubtful == unbroken.doubtful
