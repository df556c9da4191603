"""The files of the story: who sees which rows."""

from __future__ import annotations

import csv
import json

import pytest
from demo_loop.domains import TEST, TRAIN, TRAINED_ROWS, VALIDATION, Row, divided
from demo_loop.files import GOLDEN_ROWS, TEST_ROWS, VALIDATION_ROWS, balanced, story_rows, story_traffic, write_story


def domain(name: str, rows: int) -> dict[str, list[Row]]:
    return divided(
        [Row(domain=name, parent=str(n), text=f"{name}, {n}: “so”", label="positive") for n in range(rows)], seed=1
    )


@pytest.fixture(scope="module")
def old() -> dict[str, list[Row]]:
    return domain("movies", 10_000)


@pytest.fixture(scope="module")
def new() -> dict[str, list[Row]]:
    return domain("tweets", 3000)


def test_no_text_is_in_two_files_or_in_a_file_and_in_the_traffic(old, new) -> None:
    parts = [*story_rows(old, new).values(), *story_traffic(old, new)]
    texts = [row.text for rows in parts for row in rows]
    assert len(texts) == len(set(texts))


def test_each_file_has_the_rows_of_its_split_and_its_number(old, new) -> None:
    found = story_rows(old, new)
    assert {name: len(rows) for name, rows in found.items()} == {
        "train.csv": TRAINED_ROWS,
        "validation.csv": VALIDATION_ROWS,
        "golden.jsonl": GOLDEN_ROWS,
        "test.csv": TEST_ROWS,
        "recent.csv": len(new[TEST]),
    }
    assert set(found["train.csv"]) <= set(old[TRAIN])
    assert set(found["validation.csv"]) <= set(old[VALIDATION])
    assert set(found["golden.jsonl"]) | set(found["test.csv"]) <= set(old[TEST])


def test_a_small_old_domain_keeps_traffic_and_is_tested_on_all_its_test_rows(new) -> None:
    small = domain("amazon", 3000)
    found, (of_old, _) = story_rows(small, new), story_traffic(small, new)
    assert len(found["train.csv"]) == len(small[TRAIN]) * 3 // 5
    assert len(of_old) == len(small[TRAIN]) - len(found["train.csv"]) + len(small[VALIDATION]) - VALIDATION_ROWS
    assert found["test.csv"] == small[TEST]
    assert not {row.text for row in of_old} & {row.text for rows in found.values() for row in rows}


def test_the_first_model_has_seen_no_row_of_the_new_domain_and_the_traffic_has_most_of_them(old, new) -> None:
    _, of_new = story_traffic(old, new)
    assert len(of_new) == len(new[TRAIN]) + len(new[VALIDATION])


def test_the_traffic_has_each_label_as_often_in_the_order_of_the_rows() -> None:
    rows = [Row(domain="tweets", parent=str(n), text=str(n), label=label) for n, label in enumerate("aabaabb")]
    assert [row.text for row in balanced(rows)] == ["0", "1", "2", "3", "5", "6"]
    assert balanced([]) == []


def test_files_are_read_back_as_they_were(old, new, tmp_path) -> None:
    write_story(tmp_path / "story", old, new)
    rows = story_rows(old, new)
    with (tmp_path / "story" / "recent.csv").open(encoding="utf-8", newline="") as file:
        assert [line["text"] for line in csv.DictReader(file)] == [row.text for row in rows["recent.csv"]]
    golden = [json.loads(line) for line in (tmp_path / "story" / "golden.jsonl").read_text().splitlines()]
    assert golden == [{"inputs": row.text, "label": row.label} for row in rows["golden.jsonl"]]
