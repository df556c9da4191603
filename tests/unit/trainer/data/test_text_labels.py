"""Rows with a list of labels: which can be used, and why the others cannot."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config

from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats.labels import known_classes
from tuneloop_trainer.data.formats.row_format import Unusable
from tuneloop_trainer.data.formats.text_labels import TEXT_LABELS, parse
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of
from tuneloop_trainer.tasks import task_of


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["b", "a"], ["a", "b"]),
        ([], []),
        (["  spam "], ["spam"]),
        ([1, 2.0, True], ["1", "2", "true"]),
        ('["b", "a"]', ["a", "b"]),
        ("[]", []),
        ("joy", BadReason.NOT_A_LIST),
        ("3,5", BadReason.NOT_A_LIST),
        ('{"a": 1}', BadReason.NOT_A_LIST),
        (3, BadReason.NOT_A_LIST),
        (0.5, BadReason.NOT_A_LIST),
        (None, BadReason.MISSING_LABEL),
        ("", BadReason.MISSING_LABEL),
        (["a", ""], BadReason.EMPTY_LABEL),
        (["a", " "], BadReason.EMPTY_LABEL),
        (["a", None], BadReason.EMPTY_LABEL),
        (["a", math.nan], BadReason.EMPTY_LABEL),
        ([math.inf], BadReason.NOT_A_LIST),
        ([["a"]], BadReason.NOT_A_LIST),
        (["a", "b", "a"], BadReason.LABEL_TWICE),
        (["a", " a"], BadReason.LABEL_TWICE),
        (["x" * 129], BadReason.LONG_LABEL),
        (["half \ud800"], BadReason.LABEL_NOT_UNICODE),
    ],
)
def test_a_list_becomes_the_labels_of_a_row(value, labels):
    found = parse(RawRow(1, ("a text", value)), known=None)
    if isinstance(labels, BadReason):
        assert isinstance(found, Unusable)
        assert found.reason is labels
    else:
        assert found == {"text": "a text", "label": labels}


def test_a_label_that_the_model_does_not_have_is_unknown():
    known = known_classes(["joy", "love"])
    assert parse(RawRow(1, ("a text", ["joy", "hate"])), known=known).reason is BadReason.UNKNOWN_CLASS
    assert parse(RawRow(1, ("a text", ["joy"])), known=known) == {"text": "a text", "label": ["joy"]}


def test_rows_with_one_text_contradict_each_other_unless_they_have_the_same_labels():
    first, same, other = ({"text": "a", "label": labels} for labels in (["a", "b"], ["a", "b"], ["a,b"]))
    assert TEXT_LABELS.answer(first) == TEXT_LABELS.answer(same) != TEXT_LABELS.answer(other)


SEVERAL = {"taskOptions": {"problemType": "multi-label"}}


def read(folder: Path, name: str, text: str, **settings: Any) -> Collected:
    (folder / name).write_text(text)
    config = run_config(folder, sources=[folder / name], **settings)
    source = config.settings.data.train[0]
    files = files_of(source, claims=config.paths.claims, field="data.train[0]")
    located = [LocatedSource(field="data.train[0]", split=TRAIN, settings=source, files=files)]
    return collect(
        located,
        row_format=choose_format(config.settings, task=task_of(config.settings)),
        settings=config.settings,
        contents=folder / "rows.arrow",
        progress=lambda _: None,
    )


def test_a_cell_of_csv_holds_the_list_as_json(tmp_path):
    text = 'text,label\none,"[""joy"", ""love""]"\ntwo,[]\n'
    assert read(tmp_path, "rows.csv", text, **SEVERAL).table.label_sets == [("joy", "love"), ()]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("joy", "1 label is not a list of labels"),
        (3.5, "1 label is not a list of labels"),
        (["joy", "joy"], "1 label twice in the list"),
        (["joy", ""], "1 empty label in the list"),
        (["joy", None], "1 empty label in the list"),
    ],
)
def test_a_row_that_is_none_is_named_by_file_and_line(tmp_path, label, message):
    rows = [{"text": "one", "label": ["joy"]}, {"text": "two", "label": label}]
    with pytest.raises(DataError) as refused:
        read(tmp_path, "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows), **SEVERAL)
    assert message in str(refused.value)
    assert "rows.jsonl line 2" in str(refused.value)


def test_rows_with_lists_are_not_for_one_label(tmp_path):
    with pytest.raises(DataError, match=r"rows\.jsonl line 1") as refused:
        read(tmp_path, "rows.jsonl", '{"text": "one", "label": ["joy"]}\n')
    assert "set taskOptions.problemType: multi-label" in refused.value.hint


def test_rows_with_one_label_are_not_for_lists(tmp_path):
    with pytest.raises(DataError, match=r"rows\.csv line 2") as refused:
        read(tmp_path, "rows.csv", "text,label\none,joy\n", **SEVERAL)
    assert "leave taskOptions.problemType out" in refused.value.hint


def test_a_format_of_one_label_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not learn from text-label"):
        read(tmp_path, "rows.csv", "text,label\none,joy\n", **SEVERAL, data={"format": "text-label"})


def test_a_label_rule_is_refused(tmp_path):
    rule = {"uri": f"file://{tmp_path}/rows.csv", "labelRule": {"above": 0, "names": ["a", "b"]}}
    with pytest.raises(ConfigError, match=r"data\.train\[0\]\.labelRule"):
        read(tmp_path, "rows.csv", "text,label\none,1\n", **SEVERAL, data={"train": [rule]})
