"""0/1 outcomes on the same rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels, Missing
from tuneloop_operator.decide.model_deployment.gates.judge import judged
from tuneloop_operator.decide.model_deployment.gates.looks import single_look
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

FIVE_PERCENT = Levels(fail=0.05, promote=0.05)


def harm_of(worse: int, better: int, rows: int, levels: Levels = FIVE_PERCENT) -> Evidence:
    evidence = paired_difference(
        "wrong answers", PairedCounts(rows=rows, both_wrong=0, canary_only=worse, stable_only=better), levels=levels
    )
    assert isinstance(evidence, Evidence)
    return evidence


def tango(worse: int, better: int, rows: int, z: float) -> float:
    """Return the limit of Tango's score interval, by likelihood: nuisance maximised by scipy, root found by scipy."""

    def score(delta: float) -> float:
        def loss(q: float) -> float:
            return -stats.multinomial.logpmf(
                [worse, better, rows - worse - better], rows, [q + delta, q, 1 - 2 * q - delta]
            )

        low, high = max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9
        q = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).x
        return (worse - better - rows * delta) / (rows * (2 * q + delta * (1 - delta))) ** 0.5

    estimate = (worse - better) / rows
    return (
        optimize.brentq(lambda delta: score(delta) + z, estimate, estimate + 0.2)
        if z > 0
        else optimize.brentq(lambda delta: score(delta) + z, estimate - 0.2, estimate)
    )


@pytest.mark.parametrize(("worse", "better", "rows"), [(60, 50, 1_000), (90, 40, 1_000), (30, 30, 500)])
def test_with_many_discordant_rows_the_limits_are_nearly_tangos(worse, better, rows):
    evidence, z = harm_of(worse, better, rows), stats.norm.ppf(0.95)
    width = evidence.high - evidence.low
    assert evidence.low == pytest.approx(tango(worse, better, rows, -z), abs=0.06 * width)
    assert evidence.high == pytest.approx(tango(worse, better, rows, z), abs=0.06 * width)


@pytest.mark.parametrize(("rows", "better", "margin"), [(300, 0.002, 0.03), (300, 0.03, 0.03), (200, 0.1, 0.03)])
@pytest.mark.parametrize("level", [0.05, pytest.param(0.0033, marks=pytest.mark.full)])
def test_a_verdict_at_the_margin_is_wrong_no_more_often_than_its_level(rows, better, margin, level):
    fails = passes = 0.0
    for events in likely(rows, better):
        for worse in likely(rows - events, (better + margin) / (1 - better)):
            chance = stats.binom.pmf(events, rows, better) * stats.binom.pmf(
                worse, rows - events, (better + margin) / (1 - better)
            )
            evidence = harm_of(worse, events, rows, Levels(fail=level, promote=level))
            fails += chance * (evidence.low > margin and evidence.can_fail)
            passes += chance * (evidence.high <= margin)
    assert max(fails, passes) <= level


def likely(trials: int, share: float) -> range:
    return range(int(stats.binom.ppf(1e-5, trials, share)), int(stats.binom.ppf(1 - 1e-5, trials, share)) + 1)


@pytest.mark.parametrize(
    ("worse", "better", "rows", "verdict"),
    [
        pytest.param(0, 0, 1_000, Verdict.PASS, id="the same answer on 1,000 rows shows that harm is small"),
        pytest.param(4, 0, 10, Verdict.INCONCLUSIVE, id="four discordant rows never prove harm"),
        pytest.param(5, 0, 10, Verdict.FAIL, id="five may"),
        pytest.param(2, 1, 40, Verdict.INCONCLUSIVE, id="few rows show nothing"),
    ],
)
def test_few_discordant_rows(worse, better, rows, verdict):
    (look,) = single_look(10, alpha=0.05)
    assert judged("accuracy", harm_of(worse, better, rows), margin=0.03, look=look).verdict is verdict


@given(st.integers(0, 200), st.integers(0, 200), st.integers(400, 2_000))
def test_to_swap_the_revisions_mirrors_the_limits(worse, better, rows):
    evidence, mirrored = harm_of(worse, better, rows), harm_of(better, worse, rows)
    assert (evidence.low, evidence.high) == pytest.approx((-mirrored.high, -mirrored.low))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(400, 2_000))
def test_limits_enclose_the_estimate(worse, better, rows):
    evidence = harm_of(worse, better, rows)
    assert evidence.low <= evidence.harm <= evidence.high


def test_all_rows_discordant_have_limits():
    assert harm_of(20, 0, 20).high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        pytest.param(PairedCounts(rows=0, both_wrong=0, canary_only=0, stable_only=0), Verdict.NO_DATA, id="no rows"),
        pytest.param(
            PairedCounts(rows=5, both_wrong=2, canary_only=2, stable_only=2),
            Verdict.ERROR,
            id="more outcomes than rows",
        ),
        pytest.param(
            PairedCounts(rows=5, both_wrong=0, canary_only=-1, stable_only=2), Verdict.ERROR, id="fewer than none"
        ),
    ],
)
def test_counts_that_say_nothing_are_missing(counts, verdict):
    found = paired_difference("wrong answers", counts, levels=FIVE_PERCENT)
    assert isinstance(found, Missing)
    assert found.verdict is verdict
