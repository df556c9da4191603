"""What a gate can decide, against simulations with numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels
from tuneloop_operator.decide.model_deployment.gates.latency import limit_rank
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.power import (
    REQUIRED_POWER,
    Bounding,
    Calibrating,
    Pairing,
    Resembling,
    Timing,
    power_of,
    sentence,
)

LEVELS = Levels(fail=0.0033, promote=0.0167)
ERRORS = Pairing(discordant=0.006)
EVERY = [
    pytest.param(ERRORS, 0.01, id="rare and paired"),
    pytest.param(Pairing(discordant=0.1), 0.03, id="paired"),
    pytest.param(Bounding(base_rate=0.02), 0.05, id="bound"),
    pytest.param(Timing(noise=0.3), 0.1, id="latency"),
    pytest.param(Calibrating(noise=0.3), 0.05, id="calibration"),
    pytest.param(Resembling(noise=0.25), 0.03, id="quality"),
]


@pytest.mark.parametrize("worse_by", [0.0, 0.06])
def test_the_chances_of_pairs_are_those_of_a_simulation(worse_by):
    rng = np.random.default_rng(2)
    tables = rng.multinomial(1_000, [0.05 + worse_by, 0.05, 0.9 - worse_by], 2_000)
    found = [
        paired_difference(
            "errors", PairedCounts(rows=1_000, both_wrong=0, canary_only=int(x), stable_only=int(y)), levels=LEVELS
        )
        for x, y, _ in tables
    ]
    assert_like(Pairing(discordant=0.1).chances(1_000, worse_by, margin=0.03, levels=LEVELS), found, margin=0.03)


def assert_like(chances, found, *, margin) -> None:
    """Four standard errors of the simulation, and what five nodes leave open."""
    evidence = [item for item in found if isinstance(item, Evidence)]
    assert chances.to_pass == pytest.approx(np.mean([item.high <= margin for item in evidence]), abs=0.05)
    assert chances.to_fail == pytest.approx(np.mean([item.low > margin for item in evidence]), abs=0.05)


@pytest.mark.parametrize("worse_by", [0.0, 0.2])
def test_the_chances_of_latency_are_those_of_a_simulation(worse_by):
    rng = np.random.default_rng(3)
    ordered = np.sort(np.log1p(worse_by) + rng.normal(0, 0.3, (4_000, 150)), axis=1)
    chances = Timing(noise=0.3).chances(150, worse_by, margin=0.1, levels=LEVELS)
    passes = ordered[:, 150 - limit_rank(150, LEVELS.promote)] <= np.log(1.1)
    fails = ordered[:, limit_rank(150, LEVELS.fail) - 1] > np.log(1.1)
    assert (chances.to_pass, chances.to_fail) == pytest.approx((passes.mean(), fails.mean()), abs=0.035)


@pytest.mark.parametrize(("expected", "margin"), EVERY)
def test_the_least_sample_decides_and_half_of_it_does_not(expected, margin):
    power = power_of(expected, sample=10, ends=1, margin=margin, worse_by=0.1, levels=LEVELS)
    assert power.least is not None
    assert expected.chances(power.least, 0.0, margin=margin, levels=LEVELS).to_pass >= REQUIRED_POWER
    assert expected.chances(power.least // 2, 0.0, margin=margin, levels=LEVELS).to_pass < REQUIRED_POWER


@pytest.mark.parametrize(("expected", "margin"), EVERY)
def test_a_model_that_is_far_worse_fails_and_an_equal_one_does_not(expected, margin):
    assert expected.chances(5_000, 0.4, margin=margin, levels=LEVELS).to_fail > 0.999
    assert expected.chances(5_000, 0.0, margin=margin, levels=LEVELS).to_fail < LEVELS.fail


def test_a_sample_that_cannot_decide_is_refused_with_one_that_can():
    power = power_of(ERRORS, sample=100, ends=3, margin=0.01, worse_by=0.02, levels=LEVELS)
    assert not power.decides
    text = sentence("errors", power, margin=0.01)
    assert text.startswith("gate errors: minRequests 100 cannot decide a margin of 1 %: an equal model passes with ")
    assert f"set it to {power.least} or more, or widen the margin" in text


def test_a_sample_that_decides_is_told_with_its_chances():
    power = power_of(ERRORS, sample=1_000, ends=3, margin=0.01, worse_by=0.02, levels=LEVELS)
    assert power.decides
    assert sentence("errors", power, margin=0.01).startswith(
        "gate errors, margin 1 %, minRequests 1000: passes an equal model with 89 %"
    )


def test_a_bound_below_the_usual_rate_is_never_passed():
    power = power_of(Bounding(base_rate=0.06), sample=100, ends=3, margin=0.05, worse_by=0.02, levels=LEVELS)
    assert power.least is None
    assert sentence("agreement", power, margin=0.05).endswith("no number of requests can: widen the margin")
