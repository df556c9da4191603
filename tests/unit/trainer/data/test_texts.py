"""Rows of text alone: which can be used, from which files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_configs import run_config

from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats.row_format import Unusable
from tuneloop_trainer.data.formats.text import TEXT, parse
from tuneloop_trainer.data.formats.text_label import TEXT_LABEL
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.sources.raw import LONGEST_ROW, BadReason, RawRow
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of

TEXTS = ["a first text", '  indented, with "quotes", commas', "der dritte – größer"]


def collected(path: Path, *, row_format=TEXT, source=None, data=None, model=None) -> Collected:
    config = run_config(
        path.parent,
        sources=[{"uri": path.as_uri(), **(source or {})}],
        data={"validateRows": {"maxBadFraction": 0.9}, **(data or {})},
        model_source=model or {},
    )
    settings = config.settings.data.train[0]
    files = files_of(settings, claims=config.paths.claims, field="data.train[0]")
    return collect(
        [LocatedSource(field="data.train[0]", split=TRAIN, settings=settings, files=files)],
        row_format=row_format,
        settings=config.settings,
        contents=path.parent / ".rows.arrow",
        progress=lambda _: None,
    )


def texts_of(found: Collected) -> list[str]:
    return [row["text"] for batch in found.table.read() for row in batch]


def write(path: Path, texts: list[str], *, column: str = "text") -> Path:
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table({column: texts}), path)
        case ".jsonl":
            path.write_text("".join(json.dumps({column: text, "label": "pos"}) + "\n" for text in texts))
        case ".csv":
            quoted = ('"' + text.replace('"', '""') + '"' for text in texts)
            path.write_text("\n".join([f"label,{column}", *(f"pos,{cell}" for cell in quoted)]) + "\n")
        case _:
            path.write_text("\n".join(texts))
    return path


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("a text", None),
        (None, BadReason.MISSING_TEXT),
        ("", BadReason.MISSING_TEXT),
        (" \t ", BadReason.BLANK_TEXT),
        (3, BadReason.NOT_TEXT),
        (["a"], BadReason.NOT_TEXT),
        ("\ud800", BadReason.NOT_UNICODE),
    ],
)
def test_a_text_becomes_a_row(cell, reason):
    found = parse(RawRow(1, (cell,)))
    assert found == {"text": cell} if reason is None else isinstance(found, Unusable) and found.reason is reason


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.txt", "A.TXT"])
def test_the_texts_of_every_kind_of_file_are_the_rows(tmp_path, name):
    found = collected(write(tmp_path / name, TEXTS))
    assert texts_of(found) == TEXTS
    assert found.table.labels is None
    assert found.table.label_sets == [()]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_the_column_of_the_texts_may_have_another_name(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", TEXTS, column="body")
    assert texts_of(collected(path, source={"columns": {"text": "body"}})) == TEXTS


def test_blank_lines_of_a_text_file_are_skipped_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n \t\r\ntwo\n\nthree")
    found = collected(tmp_path / "a.txt")
    assert texts_of(found) == ["one", "two", "three"]
    assert not found.bad.counts
    assert [found.table.place(index).rpartition(" ")[2] for index in range(3)] == ["1", "4", "6"]


def test_a_line_that_is_too_long_is_a_bad_row(tmp_path):
    found = collected(write(tmp_path / "a.txt", ["one", "x" * (LONGEST_ROW + 1), "two"]))
    assert texts_of(found) == ["one", "two"]
    assert found.bad.counts == {BadReason.TOO_LONG: 1}


def test_text_files_beside_tables_are_no_rows(tmp_path):
    write(tmp_path / "rows.jsonl", TEXTS)
    write(tmp_path / "LICENSE.txt", ["Permission is granted"])
    assert texts_of(collected(tmp_path)) == TEXTS


def test_text_files_that_stand_alone_in_a_folder_are_rows(tmp_path):
    write(tmp_path / "b.txt", ["two"])
    write(tmp_path / "a.txt", ["one"])
    assert texts_of(collected(tmp_path)) == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "model", "message"),
    [
        ({"labelRule": {"above": 3, "names": ["a", "b"]}}, None, "data.train[0].labelRule: the rows have no label"),
        ({}, {"labels": ["a", "b"]}, "model.labels: the rows have no classes to name"),
    ],
)
def test_what_needs_a_label_is_refused(tmp_path, source, model, message):
    with pytest.raises(ConfigError) as refused:
        collected(write(tmp_path / "a.jsonl", TEXTS), source=source, model=model)
    assert message in str(refused.value)
    assert "leave label" in f"{refused.value} {refused.value.hint}"


def test_a_text_file_has_no_column_to_group_by(tmp_path):
    with pytest.raises(ConfigError, match="data.split.groupBy"):
        collected(write(tmp_path / "a.txt", TEXTS), data={"split": {"groupBy": "user"}})


def test_a_task_with_labels_is_told_that_a_text_file_has_none(tmp_path):
    with pytest.raises(DataError) as refused:
        collected(write(tmp_path / "a.txt", TEXTS), row_format=TEXT_LABEL)
    assert "holds texts alone; this task learns from the columns text, label" in str(refused.value)
