"""Gates on the golden set: one look at a complete replay, for the whole roll-out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from comparator_counts import counts, replayed
from gate_walks import (
    ACCURACY,
    BEGAN,
    CALIBRATION,
    PLAN,
    Walk,
    ids,
)

from tuneloop_api.contract.comparison import GoldenCounts, LabelledCounts, PairCounts, PairedSums
from tuneloop_operator.decide.model_deployment.gates.gate_memory import COUNTED_EVERY
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict

# the golden set


def right(rows: int, **fields: Any) -> LabelledCounts:
    sums = PairedSums(rows=rows, canary_squared=rows * 0.01, stable_squared=rows * 0.01, product=rows * 0.009)
    return LabelledCounts(rows=rows, gaps=sums, **fields)


@pytest.mark.parametrize("gate", [ACCURACY, CALIBRATION], ids=ids)
def test_a_golden_set_is_looked_at_once_for_the_whole_rollout(gate: GateSpec) -> None:
    walk = Walk(gate)
    assert walk.read(replayed(right(2000))).summary.action is GateAction.ADVANCE
    worse = replayed(right(2000, canary_only=1500))
    for step in (1, 2, 3):
        reading = walk.read(worse, step=step)
        assert (reading.summary.action, reading.memory.look) == (GateAction.ADVANCE, 1)


def test_wrong_answers_on_golden_rows_roll_back() -> None:
    assert Walk(ACCURACY).read(replayed(right(2000, canary_only=400))).summary.action is GateAction.ROLL_BACK


def test_a_single_look_that_does_not_decide_gives_up() -> None:
    found = Walk(ACCURACY).read(replayed(right(100, canary_only=3, stable_only=3))).summary
    assert (found.verdict, found.action) == (Verdict.INCONCLUSIVE, GateAction.GIVE_UP)


def test_a_replay_under_way_is_waited_for_and_never_counted() -> None:
    walk = Walk(ACCURACY)
    under_way = counts(golden=GoldenCounts(rows=1000, wanted=1, rows_done=120))
    found = [walk.read(under_way, after=3600).summary for _ in range(20)][-1]
    assert (found.verdict, found.action) == (Verdict.NO_DATA, GateAction.HOLD)
    assert found.reason == "120 of 1000 golden rows are replayed"


@pytest.mark.parametrize("gate", [ACCURACY, CALIBRATION], ids=ids)
@pytest.mark.parametrize(
    ("golden", "verdict", "reason"),
    [
        pytest.param(None, Verdict.NO_DATA, "has no golden set", id="no set"),
        pytest.param(
            GoldenCounts(problem="/g: is no file"), Verdict.ERROR, "/g: is no file", id="a set that is refused"
        ),
        pytest.param(
            GoldenCounts(failure="a revision was away"), Verdict.NO_DATA, "a revision was away", id="ended early"
        ),
    ],
)
def test_a_golden_set_without_counts_says_why_and_gives_up_at_its_limit(
    gate: GateSpec, golden: GoldenCounts | None, verdict: Verdict, reason: str
) -> None:
    walk = Walk(gate, replace(PLAN, now=BEGAN))
    found = [walk.read(counts(golden=golden), after=COUNTED_EVERY).summary for _ in range(5)]
    assert [summary.verdict for summary in found] == [verdict] * 5
    assert [summary.action for summary in found] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]
    assert reason in found[0].reason


def test_a_golden_set_without_labels_cannot_say_who_is_wrong() -> None:
    found = Walk(ACCURACY).read(replayed(LabelledCounts(), PairCounts(agree=500))).summary
    assert (found.verdict, found.action) == (Verdict.ERROR, GateAction.HOLD)
    assert '"label": "positive"' in found.reason


@pytest.mark.parametrize("rows", [0, 20])
def test_too_few_golden_rows_for_calibration_end_as_no_data(rows: int) -> None:
    walk = Walk(CALIBRATION, replace(PLAN, now=BEGAN))
    without_confidence = replayed(right(rows), PairCounts(agree=500))
    found = [walk.read(without_confidence, after=COUNTED_EVERY).summary for _ in range(5)]
    assert found[0].reason == f"{rows} golden rows, at least 50 are needed"
    assert [summary.action for summary in found] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]
