"""What `validate` and `plan` say of a comparison with a champion."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from tuneloop_api.statistics.challenger import Rules, Verdict, gain_of_pairs, improvement, non_inferiority
from tuneloop_api.v1alpha1 import FineTuneJobSpec
from tuneloop_cli.views.challenger_power import DISCORDANT, comparison_notes, passes, rows_needed


def notes(
    rows: int = 1000, *, task: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **beside: Any
) -> list[str]:
    spec = {
        "model": {"uri": "pvc://models/bert"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/reviews"}]},
        "evaluation": {"compareWith": {"uri": "pvc://models/served"} | beside},
        **({"training": training} if training else {}),
    }
    return list(
        comparison_notes(
            FineTuneJobSpec.from_wire(spec | (task or {})), {"train": 8000, "validation": 1000, "test": rows}
        )
    )


def test_the_chances_and_the_rows_that_are_needed_are_said() -> None:
    chances, needed = notes()
    assert chances == (
        "compareWith, margin 0.03: on 1,000 golden rows an equal model is found not inferior with 91 %; one that is worse by 1, 2, 5 points is "
        "stopped with 39 %, 77 %, over 99 % (where the two disagree on 10 % of the rows)"
    )
    assert needed == (
        "compareWith, minImprovement 0: a gain of 1, 2, 3 points is found with 80 % on 6,176, 1,576, 708 golden rows"
    )


def test_with_a_recent_window_its_rows_find_the_gain() -> None:
    assert notes(recent=[{"uri": "pvc://models/week.csv"}])[1].endswith(" recent rows")


def test_of_feedback_a_part_is_recent() -> None:
    words = notes(recent=[{"uri": "pvc://models/week.csv"}, {"uri": "feedback://reviews"}])[1]
    assert words.endswith(" recent rows; 1 text in 10 of feedback is recent")


def test_a_gain_that_is_no_more_than_is_asked_for_is_never_found() -> None:
    assert "on no number of, no number of, " in notes(minImprovement=0.02)[1]


@pytest.mark.parametrize(
    ("task", "varies"),
    [
        ({"task": "token-classification"}, "the F1 of spans"),
        ({"taskOptions": {"problemType": "multi-label"}}, "the micro F1 of several labels"),
    ],
)
def test_the_spread_of_an_f1_is_not_known_before(task: dict[str, Any], varies: str) -> None:
    assert notes(task=task) == [f"compareWith: how often it decides is not known before: {varies} varies with the rows"]


def test_the_spread_of_macro_f1_is_not_known_before() -> None:
    (note,) = notes(training={"bestMetric": "macro_f1"})
    assert note.startswith("compareWith, by macro_f1 as training.bestMetric: how often it decides is not known before")
    assert len(notes(training={"bestMetric": "accuracy"})) == 2


def test_a_job_without_a_champion_has_no_such_notes() -> None:
    spec = {"model": {"uri": "pvc://a/b"}, "task": "text-classification", "data": {"train": [{"uri": "pvc://a/c"}]}}
    assert list(comparison_notes(FineTuneJobSpec.from_wire(spec), {"test": 1000})) == []


def summed(verdict: Verdict, judge: Any, rules: Rules, *, rows: int, gain: float) -> float:
    """Return the chance of a verdict, exactly: summed over all likely counts."""
    challenger, champion = (DISCORDANT + gain) / 2, (DISCORDANT - gain) / 2
    total = 0.0
    for b in likely(rows, challenger):
        for c in likely(rows - b, champion / (1 - challenger)):
            if judge(gain_of_pairs(b, c, rows), rules) is verdict:
                total += stats.binom.pmf(b, rows, challenger) * stats.binom.pmf(
                    c, rows - b, champion / (1 - challenger)
                )
    return total


def likely(trials: int, share: float) -> range:
    return range(int(stats.binom.ppf(1e-5, trials, share)), int(stats.binom.ppf(1 - 1e-5, trials, share)) + 1)


@pytest.mark.parametrize(("rows", "worse_by"), [(600, 0.0), (600, 0.02)])
def test_the_chance_is_that_of_the_verdict(rows: int, worse_by: float) -> None:
    rules = Rules(margin=0.03, min_improvement=0.0)
    exact = summed(Verdict.NOT_INFERIOR, non_inferiority, rules, rows=rows, gain=-worse_by)
    assert passes(rows, worse_by, margin=0.03) == pytest.approx(exact, abs=0.02)


def test_the_rows_that_are_needed_find_the_gain_with_80_percent() -> None:
    rows = rows_needed(0.03, 0.0)
    assert rows is not None
    exact = summed(Verdict.BETTER, improvement, Rules(margin=0.03, min_improvement=0.0), rows=rows, gain=0.03)
    assert exact == pytest.approx(0.8, abs=0.02)


def test_a_gain_over_the_improvement_that_is_asked_for_needs_more_rows() -> None:
    few, many = rows_needed(0.03, 0.0), rows_needed(0.03, 0.01)
    assert few is not None
    assert many is not None
    assert 1.8 * few < many < 2.7 * few  # (3 / (3 - 1))²
