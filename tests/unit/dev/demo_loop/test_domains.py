"""Rated sentences as labelled rows, and their division."""

from __future__ import annotations

import pytest
from demo_loop.domains import TEST, TRAIN, VALIDATION, divided, labelled


def record(number: int, *, rating: float = 2.0, text: str | None = None, parent: str | None = None) -> dict[str, str]:
    fields = {"id": str(number), "rating": str(rating), "sentence": text or f"sentence {number}"}
    return fields if parent is None else fields | {"parent": parent}


@pytest.mark.parametrize(
    ("rating", "labels"),
    [
        pytest.param(0.5, ["positive"], id="half a point over zero is clear"),
        pytest.param(-0.5, ["negative"], id="half a point below as well"),
        pytest.param(0.49, [], id="nearer is neither"),
        pytest.param(-0.49, [], id="nor on the other side"),
    ],
)
def test_the_sign_of_a_clear_rating_is_the_label(rating: float, labels: list[str]) -> None:
    assert [row.label for row in labelled([record(1, rating=rating)], domain="tweets")] == labels


def test_a_text_comes_once_whatever_its_case_and_spaces() -> None:
    rows = labelled([record(1, text="So  good"), record(2, text="so good "), record(3, text="So bad")], domain="tweets")
    assert [row.text for row in rows] == ["So  good", "So bad"]


def test_a_row_without_a_parent_stands_for_itself() -> None:
    rows = labelled([record(1), record(2, parent="9")], domain="tweets")
    assert [row.parent for row in rows] == ["1", "9"]


def test_rows_of_one_parent_stay_on_one_side() -> None:
    rows = labelled([record(n, parent=str(n // 7)) for n in range(2000)], domain="amazon")
    sides = [{row.parent for row in found} for found in divided(rows, seed=1).values()]
    assert sum(map(len, sides)) == len(set.union(*sides))


def test_the_division_is_about_70_10_20_and_loses_no_row() -> None:
    rows = labelled([record(n) for n in range(10_000)], domain="tweets")
    splits = divided(rows, seed=1)
    assert sorted(row.text for found in splits.values() for row in found) == sorted(row.text for row in rows)
    assert [round(len(splits[name]) / len(rows), 1) for name in (TRAIN, VALIDATION, TEST)] == [0.7, 0.1, 0.2]


def test_another_seed_divides_otherwise_and_the_order_of_the_file_does_not_matter() -> None:
    rows = labelled([record(n) for n in range(300)], domain="tweets")
    assert divided(rows, seed=1) == divided(rows[::-1], seed=1)
    assert divided(rows, seed=1) != divided(rows, seed=2)


def test_the_first_rows_of_a_split_are_no_stretch_of_the_file() -> None:
    train = divided(labelled([record(n) for n in range(1000)], domain="tweets"), seed=1)[TRAIN]
    numbers = [int(row.parent) for row in train[:100]]
    assert 350 < sum(numbers) / len(numbers) < 650
