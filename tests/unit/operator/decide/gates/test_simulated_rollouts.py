"""300 roll-outs by the code of bench/rollout_gates.py: the errors of the gates stay within alpha."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tuneloop_operator.decide.model_deployment.gates.looks import planned_looks
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[5] / "bench"))
import rollout_simulation
from rollout_simulation import Change, Outcomes, Settings, simulate

ROLLOUTS = 300
ALPHA = Settings().alpha
AT_MARGIN = [
    pytest.param(Change(name="errors", errors=0.01), id="errors"),
    pytest.param(Change(name="answers", wrong=0.03), id="wrong answers"),
    pytest.param(Change(name="time", slower=0.1), id="latency"),
    pytest.param(Change(name="classes", flips=0.05), id="agreement"),
]
BEYOND = [
    pytest.param(Change(name="errors", errors=0.1), id="10 points more errors"),
    pytest.param(Change(name="answers", wrong=0.1), id="10 points more wrong answers"),
    pytest.param(Change(name="time", slower=0.5), id="1.5 times slower"),
    pytest.param(Change(name="classes", flips=0.2), id="20 points of other classes"),
]


def rollouts(change: Change, settings: Settings | None = None) -> Outcomes:
    return simulate(settings or Settings(agreement=0.05), change, np.random.default_rng(11), rollouts=ROLLOUTS)


def most(share: float) -> int:
    """Return what a count of this share exceeds in 1 of 10,000 tries."""
    return int(stats.binom.ppf(1 - 1e-4, ROLLOUTS, share))


@pytest.mark.parametrize("change", AT_MARGIN)
def test_at_the_margin_neither_error_is_more_frequent_than_alpha(change):
    found = rollouts(change)
    assert found.share(GateAction.ADVANCE).counted <= most(ALPHA)
    assert found.share(GateAction.ROLL_BACK).counted <= most(ALPHA)


@pytest.mark.parametrize("change", BEYOND)
def test_far_beyond_the_margin_nearly_all_fail(change):
    assert found_share(rollouts(change), GateAction.ROLL_BACK) > 0.95


def test_equal_models_are_promoted_and_never_rolled_back():
    found = rollouts(Change(name="equal"), Settings(rows=2_000, agreement=0.05))
    assert found_share(found, GateAction.ADVANCE) > 0.93
    assert found.share(GateAction.ROLL_BACK).counted <= most(0.001)


def found_share(found: Outcomes, action: GateAction) -> float:
    share = found.share(action)
    return share.counted / share.of


def test_every_rollout_ends():
    assert set(rollouts(Change(name="errors", errors=0.005)).action.tolist()) <= {0, 1, 2}


def test_the_simulated_latency_gate_sees_the_pairs_within_the_margin():
    settings, look = Settings(), planned_looks([1_000], alpha=ALPHA, inconclusive_limit=3)[2]
    verdicts = [rollout_simulation.latency_result(settings, look, within).verdict for within in (0, 500, 1_000)]
    assert verdicts == [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
