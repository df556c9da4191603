"""Rated texts as CSV: what is taken out of the archive, and which sets know the parent of a sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import real_data

LINES = ["12_3\t-0.9\tno picture, and a tab\tinside", "13_1\t2.5\tgreat", "a line without a rating"]


def written(folder: Path, name: str) -> list[list[str]]:
    real_data._write_texts(LINES, folder / name)
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_sentences_whose_id_names_a_review_have_it_as_their_parent(tmp_path) -> None:
    assert written(tmp_path, "amazon-reviews.csv") == [
        ["id", "parent", "rating", "sentence"],
        ["12_3", "12", "-0.9", "no picture, and a tab\tinside"],
        ["13_1", "13", "2.5", "great"],
    ]


def test_other_sets_have_no_parent(tmp_path) -> None:
    assert written(tmp_path, "movie-reviews.csv")[:2] == [
        ["id", "rating", "sentence"],
        ["12_3", "-0.9", "no picture, and a tab\tinside"],
    ]


def test_nothing_half_written_is_left(tmp_path) -> None:
    written(tmp_path, "tweets.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["tweets.csv"]


@pytest.mark.parametrize("name", [*real_data.MEMBERS, real_data.MODEL_FILE])
def test_each_file_is_pinned_by_its_content(name: str) -> None:
    assert len(real_data.SHA256[name]) == 64
