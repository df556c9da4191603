"""The tables of bench/cross_domain.py, from figures of two domains."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from cross_domain_tables import BEGIN, END, drop, page, replaced

DOMAINS = ("films", "tweets")


def measured(validation: float, test: float) -> dict:
    return {
        name: {"value": value, "low": value - 0.02, "high": value + 0.02, "rows": 500, "clusters": 400}
        for name, value in (("validation", validation), ("test", test))
    }


OWN, TWEETS_BY_FILMS, FILMS_BY_TWEETS = (0.80, 0.81), (0.70, 0.69), (0.78, 0.60)
"""Accuracy on validation and test rows. From tweets to films nothing is lost on validation rows."""
MATRIX = {
    "films": {
        "films": {"1": measured(*OWN), "2": measured(*OWN)},
        "tweets": {"1": measured(*TWEETS_BY_FILMS), "2": measured(0.60, 0.65)},
    },
    "tweets": {
        "films": {"1": measured(*FILMS_BY_TWEETS), "2": measured(*FILMS_BY_TWEETS)},
        "tweets": {"1": measured(*OWN), "2": measured(*OWN)},
    },
}
RETRAIN = {
    pair: {
        rows: {seed: dict.fromkeys(DOMAINS, measured(0.8, 0.79)) for seed in ("1", "2")}
        for rows in ("300", "600", "1000")
    }
    for pair in ("films:tweets", "tweets:films")
}
FIGURES = {
    "balance": {
        name: {"rows": {"train": 1400, "validation": 200, "test": 400}, "parents": 900, "positive": 0.5}
        for name in DOMAINS
    },
    "matrix": MATRIX,
    "retrain": RETRAIN,
    "minilm": {"films": {name: {"1": measured(*OWN)} for name in DOMAINS}},
    "minilm_retrain": {"films:tweets": {"1000": {"1": dict.fromkeys(DOMAINS, measured(0.8, 0.83))}}},
}


def lines(begin: str) -> list[str]:
    return [line for line in page(FIGURES).splitlines() if line.startswith(begin)]


def test_a_drop_is_the_mean_over_the_divisions_in_points() -> None:
    assert drop(MATRIX, "films", "tweets", "validation") == pytest.approx(15.0)
    assert drop(MATRIX, "films", "tweets", "test") == pytest.approx(14.0)


def test_the_matrix_shows_test_rows_with_their_interval() -> None:
    assert lines("| films | **")[0] == "| films | **81.0** (79.0–83.0) | 69.0 (67.0–71.0) |"


def test_drops_name_both_directions_and_their_range() -> None:
    assert lines("| films → tweets |")[0] == "| films → tweets | +15.0 | +14.0 (+12.0 to +16.0) | +0.0 | +0.0 |"
    assert lines("| tweets → films |")[0].endswith("|  |  |")


def test_retrains_are_shown_for_pairs_that_lose_enough_on_validation_rows() -> None:
    assert (
        lines("| films → tweets |")[1] == "| films → tweets | 81.0 / 67.0 | 79.0 / 79.0 | 79.0 / 79.0 | 79.0 / 79.0 |"
    )
    assert len(lines("| tweets → films |")) == 1


def test_a_retrain_that_was_not_made_is_an_empty_cell() -> None:
    assert lines("| films → tweets |")[2] == "| films → tweets | 81.0 / 81.0 |  |  | 83.0 / 83.0 |"


def test_a_page_keeps_what_is_around_the_tables() -> None:
    text = page(FIGURES)
    assert replaced(f"before\n{BEGIN}\nold\n{END}\nafter\n", text) == f"before\n{text}\nafter\n"


@pytest.mark.parametrize("document", ["no mark", f"{BEGIN} no end", f"no begin {END}"])
def test_a_page_without_marks_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        replaced(document, "text")
