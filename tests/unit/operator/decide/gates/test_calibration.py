"""Confidence against correctness on golden rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_operator.decide.model_deployment.gates.calibration import LEAST_ROWS, calibration_loss
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

LEVELS = Levels(fail=0.05, promote=0.05)


def gaps_of(seed: int) -> list[tuple[float, float]]:
    """Return 50 to 200 pairs of gaps that lean to one side, and have something in common."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(LEAST_ROWS, 200)
    common = rng.uniform(-1, 1, rows)
    drawn = [
        np.clip(rng.uniform(-0.5, 0.5) + common * rng.uniform(0, 1) + rng.normal(0, 0.2, rows), -1, 1) for _ in range(2)
    ]
    return list(zip(*(gaps.tolist() for gaps in drawn), strict=True))


GAPS = st.builds(gaps_of, st.integers(0, 2**32))


def harm_of(gaps) -> Evidence:
    evidence = calibration_loss(PairedSums.of(gaps), levels=LEVELS)
    assert isinstance(evidence, Evidence)
    return evidence


@given(GAPS)
def test_limits_are_those_of_the_paired_differences_row_by_row(gaps):
    canary, stable = np.array(gaps).T
    z = stats.norm.ppf(1 - 0.05 / 2)

    def limit(s, t, z):
        rows = s * canary - t * stable
        return rows.mean() + z * stats.sem(rows)

    evidence = harm_of(gaps)
    assert evidence.low == pytest.approx(max(min(limit(s, t, -z) for t in (1, -1)) for s in (1, -1)), abs=1e-6)
    assert evidence.high == pytest.approx(max(min(limit(s, t, z) for t in (1, -1)) for s in (1, -1)), abs=1e-6)


@given(GAPS)
def test_limits_enclose_the_estimate(gaps):
    evidence = harm_of(gaps)
    assert evidence.low - 1e-9 <= evidence.harm <= evidence.high + 1e-9


@given(GAPS)
def test_to_lose_confidence_is_as_bad_as_to_gain_it(gaps):
    evidence, mirrored = harm_of(gaps), harm_of([(-canary, stable) for canary, stable in gaps])
    assert (evidence.harm, evidence.low, evidence.high) == pytest.approx((mirrored.harm, mirrored.low, mirrored.high))


def test_lost_confidence_beyond_the_margin_is_found():
    stable = np.random.default_rng(3).normal(0.03, 0.3, 1_000)
    assert harm_of(list(zip((stable + 0.1).tolist(), stable.tolist(), strict=True))).low > 0.05


def test_an_unchanged_model_has_no_harm():
    gaps = [(gap, gap) for gap in np.random.default_rng(4).normal(0.05, 0.3, 500)]
    assert harm_of(gaps).high == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("of_stable", [0.0, pytest.param(0.03, marks=pytest.mark.full)])
def test_a_verdict_at_the_margin_is_wrong_no_more_often_than_its_level(of_stable):
    """4,000 golden sets of 200 rows, harm exactly 5 points; the bound is that of the binomial at 1 in 10,000."""
    rng, margin, sets = np.random.default_rng(5), 0.05, 4_000
    stable = rng.normal(of_stable, 0.3, (sets, 200))
    canary = stable + rng.normal(margin, 0.2, (sets, 200))
    found = [harm_of(zip(c.tolist(), s.tolist(), strict=True)) for c, s in zip(canary, stable, strict=True)]
    allowed = stats.binom.ppf(1 - 1e-4, sets, 0.05)
    assert sum(evidence.low > margin for evidence in found) <= allowed
    assert sum(evidence.high <= margin for evidence in found) <= allowed


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        pytest.param([(0.1, 0.1)] * (LEAST_ROWS - 1), Verdict.NO_DATA, id="too few rows"),
        pytest.param([(math.nan, 0.1)] * LEAST_ROWS, Verdict.ERROR, id="a confidence is NaN"),
    ],
)
def test_sums_that_say_nothing_are_missing(gaps, verdict):
    found = calibration_loss(PairedSums.of(gaps), levels=LEVELS)
    assert isinstance(found, Missing)
    assert found.verdict is verdict
