"""Which verdict follows from the limits of a challenger's gain."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tuneloop_api.statistics.challenger import (
    LEVEL,
    Gain,
    Rules,
    SetVerdict,
    Verdict,
    gain_of_pairs,
    improvement,
    non_inferiority,
    outcome_of,
    sentence,
)

RULES = Rules(margin=0.03, min_improvement=0.0)
ROWS = 1_000


def gain(low: float | None, high: float | None, discordant: int = 50) -> Gain:
    return Gain(value=0.0, low=low, high=high, discordant=discordant)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        pytest.param(-0.02, 0.02, Verdict.NOT_INFERIOR, id="the lower limit is within the margin"),
        pytest.param(-0.03, 0.02, Verdict.INCONCLUSIVE, id="the lower limit is at the margin"),
        pytest.param(-0.08, -0.031, Verdict.WORSE, id="the upper limit is below the margin"),
        pytest.param(-0.08, -0.03, Verdict.INCONCLUSIVE, id="the upper limit is at the margin"),
        pytest.param(None, None, Verdict.INCONCLUSIVE, id="no limits"),
    ],
)
def test_non_inferiority_is_a_test_with_a_margin(low, high, verdict):
    assert non_inferiority(gain(low, high), RULES) is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        pytest.param(0.001, 0.05, Verdict.BETTER, id="the lower limit exceeds minImprovement"),
        pytest.param(0.0, 0.05, Verdict.INCONCLUSIVE, id="the lower limit is at minImprovement"),
        pytest.param(-0.01, 0.029, Verdict.NOT_BETTER, id="a gain of the margin is ruled out"),
        pytest.param(-0.01, 0.03, Verdict.INCONCLUSIVE, id="a gain of the margin is not ruled out"),
        pytest.param(-0.02, -0.01, Verdict.NOT_BETTER, id="worse within the margin"),
        pytest.param(-0.08, -0.031, Verdict.WORSE, id="worse by more than the margin"),
        pytest.param(None, None, Verdict.INCONCLUSIVE, id="no limits"),
    ],
)
def test_improvement_is_a_test_with_a_margin(low, high, verdict):
    assert improvement(gain(low, high), RULES) is verdict


@pytest.mark.parametrize(
    ("judge", "low", "high"),
    [
        pytest.param(improvement, 0.1, 0.2, id="no gain"),
        pytest.param(improvement, -0.01, 0.01, id="no gain is ruled out"),
        pytest.param(improvement, -0.2, -0.1, id="no loss"),
        pytest.param(non_inferiority, -0.2, -0.1, id="no loss of the golden set"),
    ],
)
def test_fewer_than_five_discordant_rows_prove(judge, low, high):
    assert judge(gain(low, high, discordant=4), RULES) is Verdict.INCONCLUSIVE
    assert judge(gain(low, high, discordant=5), RULES) is not Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("discordant", "is_exact", "verdict"),
    [
        pytest.param(0, True, Verdict.NOT_INFERIOR, id="by exact limits without a discordant row"),
        pytest.param(4, True, Verdict.NOT_INFERIOR, id="by exact limits with four"),
        pytest.param(4, False, Verdict.INCONCLUSIVE, id="not by a bootstrap of four"),
        pytest.param(5, False, Verdict.NOT_INFERIOR, id="by a bootstrap of five"),
    ],
)
def test_rows_that_agree_prove_that_nothing_is_lost(discordant, is_exact, verdict):
    found = Gain(value=0.0, low=-0.01, high=0.01, discordant=discordant, is_exact=is_exact)
    assert non_inferiority(found, RULES) is verdict


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        pytest.param(98, Verdict.INCONCLUSIVE, id="98 rows leave room for a loss of three points"),
        pytest.param(99, Verdict.NOT_INFERIOR, id="99 do not"),
    ],
)
def test_models_that_answer_all_golden_rows_alike(rows, verdict):
    """1 - 0.05 ** (1 / 99) = 0.0298: so many rows rule out that the challenger alone is wrong on 3 % of them."""
    assert non_inferiority(gain_of_pairs(0, 0, rows), RULES) is verdict
    assert improvement(gain_of_pairs(0, 0, rows), RULES) is Verdict.INCONCLUSIVE


def of(verdict: Verdict, *worse_slices: str, name: str = "golden") -> SetVerdict:
    return SetVerdict(name=name, verdict=verdict, reason=f"{name} says {verdict}", worse_slices=worse_slices)


@pytest.mark.parametrize(
    ("golden", "recent", "verdict"),
    [
        (Verdict.NOT_INFERIOR, Verdict.BETTER, Verdict.BETTER),
        (Verdict.NOT_INFERIOR, Verdict.NOT_BETTER, Verdict.NOT_BETTER),
        (Verdict.NOT_INFERIOR, Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (Verdict.NOT_INFERIOR, Verdict.WORSE, Verdict.WORSE),
        (Verdict.WORSE, Verdict.BETTER, Verdict.WORSE),
        (Verdict.INCONCLUSIVE, Verdict.BETTER, Verdict.INCONCLUSIVE),
        (Verdict.INCONCLUSIVE, Verdict.NOT_BETTER, Verdict.NOT_BETTER),
    ],
)
def test_both_sets_must_agree_to_promote(golden, recent, verdict):
    assert outcome_of([of(golden), of(recent, name="recent")]).verdict is verdict


@pytest.mark.parametrize("verdict", [Verdict.BETTER, Verdict.NOT_BETTER, Verdict.INCONCLUSIVE, Verdict.WORSE])
def test_without_a_recent_window_the_golden_set_decides(verdict):
    assert outcome_of([of(verdict)]).verdict is verdict


def test_a_slice_with_evidence_of_harm_blocks_and_is_named():
    found = outcome_of([of(Verdict.NOT_INFERIOR, "sports"), of(Verdict.BETTER, name="recent")])
    assert found.verdict is Verdict.WORSE
    assert found.reason.startswith("worse on sports of the golden set; ")


def test_the_sentence_has_the_numbers():
    found = gain_of_pairs(40, 12, 2_000)
    assert sentence("2,000 golden rows", found, improvement(found, RULES), metric="accuracy", rules=RULES) == (
        f"better on 2,000 golden rows: accuracy +0.0140 (at least {found.low:+.4f}, at most {found.high:+.4f}; 52 discordant; margin 0.03, minImprovement 0)"
    )


ORDER = [Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.NOT_INFERIOR]


@given(st.integers(0, 150), st.integers(0, 150))
def test_one_more_row_that_the_challenger_alone_has_right_never_worsens_the_verdict(challenger, champion):
    fewer, more = (non_inferiority(gain_of_pairs(challenger + extra, champion, ROWS), RULES) for extra in (0, 1))
    assert ORDER.index(more) >= ORDER.index(fewer) or challenger + champion < 5


@given(st.integers(0, 150), st.integers(0, 150))
def test_swapped_models_are_never_both_better(challenger, champion):
    rules = Rules(margin=0.001, min_improvement=0.0)
    verdicts = {
        improvement(gain_of_pairs(*counts, ROWS), rules) for counts in ((challenger, champion), (champion, challenger))
    }
    assert verdicts != {Verdict.BETTER}
    if Verdict.WORSE in verdicts:
        assert Verdict.BETTER in verdicts


def chance_of(verdict: Verdict, judge, *, rows: int, challenger: float, champion: float) -> float:
    """Sum the probabilities of all counts that give the verdict."""
    return sum(
        stats.multinomial.pmf([b, c, rows - b - c], rows, [challenger, champion, 1 - challenger - champion])
        for b, c in itertools.product(range(rows + 1), repeat=2)
        if b + c <= rows and judge(gain_of_pairs(b, c, rows), Rules(margin=0.1, min_improvement=0.0)) is verdict
    )


@pytest.mark.parametrize(
    ("verdict", "judge", "challenger", "champion"),
    [
        pytest.param(Verdict.BETTER, improvement, 0.15, 0.15, id="an equal challenger is seldom better"),
        pytest.param(Verdict.NOT_INFERIOR, non_inferiority, 0.1, 0.2, id="one at the margin seldom passes"),
        pytest.param(Verdict.WORSE, non_inferiority, 0.1, 0.2, id="one at the margin is seldom stopped"),
    ],
)
def test_a_wrong_verdict_comes_no_more_often_than_the_level(verdict, judge, challenger, champion):
    assert 0 < chance_of(verdict, judge, rows=60, challenger=challenger, champion=champion) <= LEVEL
