"""Generated answers against the references of golden rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from comparator_counts import counts, replayed
from gate_walks import BEGAN, PLAN, Walk
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_api.contract import comparison
from tuneloop_api.contract.comparison import GoldenCounts, LabelledCounts, PairCounts
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.gate_memory import COUNTED_EVERY
from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec, Metric
from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums
from tuneloop_operator.decide.model_deployment.gates.quality import LEAST_ROWS, quality_loss
from tuneloop_operator.decide.model_deployment.gates.undecidable import golden_rows_needed
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict

LEVELS = Levels(fail=0.05, promote=0.05)
QUALITY = GateSpec(name="quality", metric=Metric.GENERATION_QUALITY, margin=0.03)
ROWS = st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=LEAST_ROWS, max_size=120)


def evidence_of(pairs) -> Evidence:
    found = quality_loss(PairedSums.of(pairs), levels=LEVELS)
    assert isinstance(found, Evidence)
    return found


@given(ROWS)
def test_each_limit_is_that_of_the_rows_and_one_that_is_as_bad_as_can_be(pairs):
    canary, stable = np.array(pairs).T
    z = stats.norm.ppf(0.95)
    found = evidence_of(pairs)
    for worst, sign, limit in ((1, 1, found.high), (-1, -1, found.low)):
        rows = np.append(stable - canary, worst)
        expected = rows.mean() + sign * z * rows.std() / math.sqrt(len(pairs))
        assert limit == pytest.approx(expected, abs=1e-6)
    assert found.harm == pytest.approx((stable - canary).mean(), abs=1e-9)
    assert found.low <= found.harm <= found.high


@pytest.mark.parametrize("rows", [LEAST_ROWS, 200, 2000])
def test_equal_answers_prove_no_more_than_exact_limits_of_rows_without_an_event(rows):
    exact = 1 - 0.05 ** (1 / rows)
    assert 0.8 * exact <= evidence_of([(0.5, 0.5)] * rows).high <= exact


@pytest.mark.parametrize(
    ("fields", "verdict", "reason"),
    [
        ({"rows": LEAST_ROWS - 1}, Verdict.NO_DATA, "49 golden rows have a reference, at least 50 are needed"),
        ({"canary": math.nan}, Verdict.ERROR, "a similarity is not a number"),
        ({"product": math.inf}, Verdict.ERROR, "a similarity is not a number"),
        ({"stable": 101.0}, Verdict.ERROR, "the sums of 100 similarities make no sense: each is from 0 to 1"),
        ({"canary": -1.0}, Verdict.ERROR, "the sums of 100 similarities make no sense: each is from 0 to 1"),
        ({"canary_squared": 41.0}, Verdict.ERROR, "the sums of 100 similarities make no sense: each is from 0 to 1"),
        ({"product": 41.0}, Verdict.ERROR, "the sums of 100 similarities make no sense: each is from 0 to 1"),
    ],
)
def test_sums_that_show_nothing_are_never_a_pass(fields, verdict, reason):
    sums = PairedSums(rows=100, canary=40.0, stable=40.0, canary_squared=20.0, stable_squared=20.0, product=19.0)
    found = quality_loss(replace(sums, **fields), levels=LEVELS)
    assert isinstance(found, Missing)
    assert (found.verdict, found.reason) == (verdict, reason)


def golden(rows: int, *, stable: float, canary: float) -> LabelledCounts:
    """Every answer of a revision is as like its reference as the others."""
    sums = PairedSums.of([(canary, stable)] * rows)
    return LabelledCounts(rows=rows, similarity=comparison.PairedSums(**vars(sums)))


@pytest.mark.parametrize(
    ("labelled", "verdict", "action", "reason"),
    [
        pytest.param(golden(500, stable=0.6, canary=0.6), Verdict.PASS, GateAction.ADVANCE, "canary's answers are 60 % like the references, stable's 60 % on the same 500 rows: harm 0 % ", id="equal"),
        pytest.param(golden(500, stable=0.6, canary=0.8), Verdict.PASS, GateAction.ADVANCE, "harm -20 %", id="better"),
        pytest.param(golden(500, stable=0.6, canary=0.5), Verdict.FAIL, GateAction.ROLL_BACK, "harm 10 %", id="worse"),
        pytest.param(golden(500, stable=0.6, canary=0.0), Verdict.FAIL, GateAction.ROLL_BACK, "canary's answers are 0 % like", id="empty answers"),
        pytest.param(golden(60, stable=0.6, canary=0.6), Verdict.INCONCLUSIVE, GateAction.GIVE_UP, "on the same 60 rows", id="too few to decide"),
    ],
)  # fmt: skip
def test_a_golden_replay_promotes_or_rolls_back(labelled, verdict, action, reason):
    found = Walk(QUALITY).read(replayed(labelled)).summary
    assert (found.verdict, found.action) == (verdict, action)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (counts(), Verdict.NO_DATA, "the comparator has no golden set"),
        (counts(golden=GoldenCounts(problem="/g: is no file")), Verdict.ERROR, "/g: is no file"),
        (replayed(golden(20, stable=1, canary=1)), Verdict.NO_DATA, "20 golden rows have a reference, at least 50 are needed"),
        (replayed(LabelledCounts(), PairCounts(agree=500)), Verdict.ERROR, "no row of the golden set has a label; "),
        (replayed(LabelledCounts(rows=500)), Verdict.ERROR, "a model of text-classification generates no text; for example metric: GoldenAccuracy"),
    ],
)  # fmt: skip
def test_what_shows_no_quality_says_why_and_gives_up_at_its_limit(found, verdict, reason):
    walk = Walk(QUALITY, replace(PLAN, now=BEGAN))
    seen = [walk.read(found, after=COUNTED_EVERY).summary for _ in range(5)]
    assert {summary.verdict for summary in seen} == {verdict}
    assert [summary.action for summary in seen] == [GateAction.HOLD] * 4 + [GateAction.GIVE_UP]
    assert reason in seen[0].reason


def replays_of(
    rng: np.random.Generator, *, rows: int, worse_by: float, lost: float, number: int = 2000
) -> list[Verdict]:
    """Return verdicts of replays. Similarities of two models scatter around those of a row; `lost` of the canary's answers are empty beside that."""
    verdicts = []
    for _ in range(number):
        common = rng.beta(2, 2, rows)
        stable, canary = (np.clip(common + rng.normal(0, 0.18, rows), 0, 1) for _ in range(2))
        canary = np.where(rng.random(rows) < lost, 0, canary)
        # the mean of what is lost and of what is clipped is 0.5: the rest of the harm is taken off by chance, row by row
        canary = np.where(rng.random(rows) < max(worse_by / 0.5 - lost, 0), 0, canary)
        sums = PairedSums.of(zip(canary.tolist(), stable.tolist(), strict=True))
        labelled = LabelledCounts(rows=rows, similarity=comparison.PairedSums(**vars(sums)))
        verdicts.append(Walk(QUALITY).read(replayed(labelled)).summary.verdict)
    return verdicts


def test_equal_models_pass_and_those_at_the_margin_do_not_more_often_than_alpha():
    rng = np.random.default_rng(16)
    rows = golden_rows_needed(QUALITY)
    assert rows is not None
    most = stats.binom.ppf(1 - 1e-4, 500, 0.05)
    equal = replays_of(rng, rows=rows, worse_by=0.0, lost=0.0, number=500)
    assert equal.count(Verdict.PASS) >= stats.binom.ppf(1e-4, 500, 0.8)
    assert equal.count(Verdict.FAIL) == 0
    at_margin = replays_of(rng, rows=rows, worse_by=0.03, lost=0.0, number=500)
    assert at_margin.count(Verdict.PASS) <= most
    assert at_margin.count(Verdict.FAIL) <= most
    worse = replays_of(rng, rows=rows, worse_by=0.1, lost=0.1, number=500)
    assert worse.count(Verdict.PASS) == 0
    assert worse.count(Verdict.FAIL) >= 450


SIMILAR = GateSpec(name="agreement", metric=Metric.AGREEMENT, margin=0.3, similarity=0.6)


def live(rows: int, *, at: int, agree: int = 0) -> comparison.ComparisonCounts:
    """Return counts of pairs that are all in one bin. agree: those of them that are the same text."""
    pairs = [rows if place == at else 0 for place in range(comparison.SIMILARITY_STEPS + 1)]
    return counts(live=PairCounts(agree=agree, disagree=rows - agree, similarity=pairs), task="text-generation")


@pytest.mark.parametrize(
    ("gate", "at", "verdict"),
    [
        (SIMILAR, 11, Verdict.FAIL),
        (SIMILAR, 12, Verdict.PASS),
        (replace(SIMILAR, similarity=0.61), 12, Verdict.FAIL),
        (replace(SIMILAR, similarity=0.61), 13, Verdict.PASS),
        (replace(SIMILAR, similarity=0.15), 3, Verdict.PASS),
        (replace(SIMILAR, similarity=0.55), 11, Verdict.PASS),
        (replace(SIMILAR, similarity=0.99), 19, Verdict.FAIL),
        (replace(SIMILAR, similarity=0.99), 20, Verdict.PASS),
        (replace(SIMILAR, similarity=1.0), 20, Verdict.FAIL),
    ],
)
def test_texts_agree_from_the_similarity_on_that_the_gate_names(gate, at, verdict):
    assert Walk(gate).read_all(live(1000, at=at)).summary.verdict is verdict


def test_each_step_is_judged_by_its_own_similarities():
    walk = Walk(SIMILAR)
    assert walk.read_all(live(1000, at=20)).summary.verdict is Verdict.PASS
    walk.read(live(1000, at=20), step=2)
    grown = PairCounts(disagree=2000, similarity=[1000, *[0] * 19, 1000])
    assert walk.read_all(counts(live=grown)).summary.verdict is Verdict.FAIL


def test_classes_agree_as_before_whatever_similarity_the_gate_names():
    found = counts(live=PairCounts(agree=400, disagree=600))
    assert Walk(SIMILAR).read_all(found).summary.verdict is Verdict.FAIL


@pytest.mark.parametrize("similarity", [[1000], [-1, 1001, *[0] * 19]])
def test_similarities_that_cannot_be_counts_are_an_error(similarity):
    found = counts(live=PairCounts(agree=1000, similarity=similarity))
    assert Walk(SIMILAR).read(found).summary.verdict is Verdict.ERROR
