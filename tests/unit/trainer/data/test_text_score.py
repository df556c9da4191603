"""Rows with a number: which can be used, and why the others cannot, by file and line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config

from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats.row_format import Unusable
from tuneloop_trainer.data.formats.text_score import TEXT_SCORE, parse
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.locate import files_of
from tuneloop_trainer.tasks import task_of


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (-0.5, -0.5),
        ("3.5", 3.5),
        (" -2 ", -2.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (1e30, 1e30),
        (1.1e30, BadReason.NOT_A_SCORE),
        (10**400, BadReason.NOT_A_SCORE),
        ("3,5", BadReason.NOT_A_SCORE),
        ("1_0", BadReason.NOT_A_SCORE),
        ("٣", BadReason.NOT_A_SCORE),
        ("nan", BadReason.NOT_A_SCORE),
        ("inf", BadReason.NOT_A_SCORE),
        ("good", BadReason.NOT_A_SCORE),
        (math.nan, BadReason.NOT_A_SCORE),
        (-math.inf, BadReason.NOT_A_SCORE),
        (True, BadReason.NOT_A_SCORE),
        ([3.5], BadReason.NOT_A_SCORE),
        (None, BadReason.MISSING_LABEL),
        ("", BadReason.MISSING_LABEL),
        (" ", BadReason.MISSING_LABEL),
    ],
)
def test_a_number_becomes_the_label_of_a_row(value, number):
    found = parse(RawRow(1, ("a text", value)))
    if isinstance(number, BadReason):
        assert isinstance(found, Unusable)
        assert found.reason is number
    else:
        assert found == {"text": "a text", "label": number}


def test_a_row_needs_a_text():
    assert parse(RawRow(1, ("", 3.5))).reason is BadReason.MISSING_TEXT


def test_rows_with_one_text_contradict_each_other_unless_their_numbers_are_equal():
    first, same, other = ({"text": "a", "label": number} for number in (0.1, 0.1, 0.1000001))
    assert TEXT_SCORE.answer(first) == TEXT_SCORE.answer(same) != TEXT_SCORE.answer(other)


def collected(folder: Path, rows: list[dict[str, Any]]) -> Collected:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = run_config(folder, sources=[path], taskOptions={"problemType": "regression"})
    source = config.settings.data.train[0]
    files = files_of(source, claims=config.paths.claims, field="data.train[0]")
    return collect(
        [LocatedSource(field="data.train[0]", split=TRAIN, settings=source, files=files)],
        row_format=choose_format(config.settings, task=task_of(config.settings)),
        settings=config.settings,
        contents=folder / "rows.arrow",
        progress=lambda _: None,
    )


def test_a_bad_row_is_named_by_file_and_line(tmp_path):
    with pytest.raises(DataError) as refused:
        collected(tmp_path, [{"text": "good", "label": 1.5}, {"text": "bad", "label": "3,5"}])
    assert "rows.jsonl line 2: label is not a finite number" in str(refused.value)
    assert "with a point" in refused.value.hint


def test_rows_with_classes_are_told_which_problem_type_they_are_of(tmp_path):
    with pytest.raises(DataError) as refused:
        collected(tmp_path, [{"text": "a", "label": "pos"}, {"text": "b", "label": "neg"}])
    assert "for classes leave taskOptions.problemType out" in refused.value.hint
