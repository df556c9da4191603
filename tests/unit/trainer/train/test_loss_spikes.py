"""Which losses are a spike, and when a spike is permanent."""

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

PRIOR_ENTROPY = math.log(2)


def watched(losses: Sequence[float], detector: LossSpikeDetector | None = None) -> LossSpikeDetector:
    detector = detector or LossSpikeDetector(class_prior_entropy=PRIOR_ENTROPY)
    for step, loss in enumerate(losses, 1):
        detector.add(step, loss)
    return detector


def healthy(*, seed: int, steps: int = 600, rows: int = 16, wrong: float = 0.03) -> NDArray[np.float64]:
    """Losses of batches of a model that learns; some labels are wrong, which costs more the surer the model is."""
    source = np.random.default_rng(seed)
    sure = 0.05 + 6 * (1 - np.exp(-np.arange(steps) / 150))
    margins = source.normal(sure[:, None], 1.0, (steps, rows))
    margins[source.random((steps, rows)) < wrong] *= -1
    return np.log1p(np.exp(-margins)).mean(axis=1)


@pytest.mark.parametrize("seed", range(20))
def test_no_healthy_run_is_stopped(seed):
    watched(healthy(seed=seed)).check_end()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.25), st.sampled_from([8, 16, 32]))
def test_wrong_labels_stop_no_run(seed, odd, rows):
    """odd: part of all batches with a wrong label. Of more than a third, ten in a row at the end are no rare chance any more."""
    watched(healthy(seed=seed, rows=rows, wrong=odd / rows)).check_end()


def test_a_spike_begins_with_its_first_loss_and_ends_with_the_first_usual_one():
    detector = watched([0.3, 0.31] * 30)
    detector.add(61, 4.0)
    assert detector.in_spike
    detector.add(62, 0.32)
    assert not detector.in_spike


def test_a_permanent_spike_is_an_error_that_names_its_first_step():
    message = r"rose at step 61 .* for 50 steps: it was 0\.305 before and is 4"
    with pytest.raises(NonFiniteLossError, match=message) as raised:
        watched([0.3, 0.31] * 30 + [4.0] * PATIENCE_STEPS)
    assert failed(failure_of(raised.value), stage="train", rank=0).step == 61


@pytest.mark.parametrize(
    ("steps", "bad"), [pytest.param(1, False, id="one odd batch"), pytest.param(PATIENCE_AT_END_STEPS, True, id="many")]
)
def test_a_run_may_not_end_in_a_spike_of_many_batches(steps, bad):
    detector = watched([0.3, 0.31] * 30 + [4.0] * steps)
    if bad:
        with pytest.raises(NonFiniteLossError):
            detector.check_end()
    else:
        detector.check_end()


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        pytest.param([0.3] * (WINDOW_STEPS - 1) + [50.0], "before so many losses nothing is a spike", id="too early"),
        pytest.param(
            [0.01] * 60 + [0.3], "a loss below half of the prior entropy is that of a good model", id="still good"
        ),
        pytest.param([0.3, 0.5] * 30 + [1.4], "losses that spread widely reach further", id="within the spread"),
    ],
)
def test_no_spike(losses, why):
    assert not watched(losses).in_spike, why


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(WINDOW_STEPS, 400))
def test_a_detector_that_is_rebuilt_from_the_log_decides_as_the_first_one(seed, resumed_after):
    losses = [*healthy(seed=seed, steps=400, wrong=0.1), 9.0]
    unbroken = watched(losses)
    rebuilt = LossSpikeDetector(class_prior_entropy=PRIOR_ENTROPY)
    rebuilt.replay(losses[:resumed_after])
    for step, loss in enumerate(losses[resumed_after:], resumed_after + 1):
        rebuilt.add(step, loss)
    assert rebuilt.in_spike == unbroken.in_spike


def test_a_run_that_resumes_starts_outside_of_a_spike():
    """Its state was saved: the spike before it was over, or only a few odd batches."""
    detector = LossSpikeDetector(class_prior_entropy=PRIOR_ENTROPY)
    detector.replay([0.3] * WINDOW_STEPS + [4.0] * PATIENCE_AT_END_STEPS)
    assert not detector.in_spike
    detector.check_end()
    detector.add(WINDOW_STEPS + PATIENCE_AT_END_STEPS + 1, 4.0)
    assert detector.spike.steps == 1
