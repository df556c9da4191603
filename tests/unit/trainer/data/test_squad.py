"""Rows with answers in a context: which can be used, and why the others cannot; files as SQuAD publishes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config

from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats.row_format import Unusable
from tuneloop_trainer.data.formats.squad import parse
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.sources import read_squad
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.locate import files_of
from tuneloop_trainer.tasks import task_of

CONTEXT = "🙂 It is in Denver, far from Zürich."


def answers(*pairs: tuple[Any, Any]) -> dict[str, list[Any]]:
    return {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (answers(("Denver", 11)), answers(("Denver", 11))),
        (answers(("Denver", 11), ("Zürich", 28)), answers(("Denver", 11), ("Zürich", 28))),
        (answers((" Denver,", 10)), answers(("Denver,", 11))),
        (answers(), answers()),
        ([], answers()),
        ([{"text": "Denver", "answer_start": 11}], answers(("Denver", 11))),
        (json.dumps(answers(("Denver", 11))), answers(("Denver", 11))),
        (answers((CONTEXT, 0)), answers((CONTEXT, 0))),
    ],
)
def test_answers_are_lists_or_objects_and_their_starts_count_code_points(given, kept):
    found = parse(RawRow(1, (CONTEXT, "Where\nis  it?", given)), needs_answer=False)
    assert found == {"context": CONTEXT, "question": "Where is it?", "answers": kept}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ((None, "Where?", []), BadReason.MISSING_CONTEXT),
        (("  ", "Where?", []), BadReason.BLANK_TEXT),
        ((CONTEXT, None, []), BadReason.MISSING_QUESTION),
        ((CONTEXT, 3, []), BadReason.NOT_TEXT),
        ((CONTEXT, "Where?", None), BadReason.MISSING_ANSWERS),
        ((CONTEXT, "Where?", "Denver"), BadReason.NOT_ANSWERS),
        ((CONTEXT, "Where?", ["Denver"]), BadReason.NOT_ANSWERS),
        ((CONTEXT, "Where?", {"text": ["Denver"], "answer_start": []}), BadReason.NOT_ANSWERS),
        ((CONTEXT, "Where?", answers(("Denver", "11"))), BadReason.NOT_ANSWERS),
        ((CONTEXT, "Where?", answers(("Denver", True))), BadReason.NOT_ANSWERS),
        ((CONTEXT, "Where?", answers((" ", 2))), BadReason.BLANK_ANSWER),
        ((CONTEXT, "Where?", answers(("Denver", -1))), BadReason.ANSWER_OUTSIDE),
        ((CONTEXT, "Where?", answers(("Denver", len(CONTEXT) - 5))), BadReason.ANSWER_OUTSIDE),
        ((CONTEXT, "Where?", answers(("Denver", 12))), BadReason.OTHER_ANSWER),
        ((CONTEXT, "Where?", answers(("Denver", 11), ("Denver", 14))), BadReason.OTHER_ANSWER),  # bytes of UTF-8
    ],
)
def test_a_row_that_cannot_be_used_says_why(cells, reason):
    found = parse(RawRow(1, cells), needs_answer=False)
    assert isinstance(found, Unusable)
    assert found.reason is reason


def test_a_row_without_an_answer_is_bad_only_where_each_needs_one():
    row = RawRow(1, (CONTEXT, "Where?", []))
    found = parse(row, needs_answer=True)
    assert isinstance(found, Unusable)
    assert found.reason is BadReason.NO_ANSWER
    assert isinstance(parse(row, needs_answer=False), dict)


def read(folder: Path, file: Path, **settings: Any) -> Collected:
    config = run_config(folder, task="question-answering", sources=[file], **settings)
    source = config.settings.data.train[0]
    located = LocatedSource(
        field="data.train[0]", split=TRAIN, settings=source, files=files_of(source, claims={}, field="data.train[0]")
    )
    row_format = choose_format(config.settings, task=task_of(config.settings))
    contents = folder / "rows.arrow"
    return collect(
        [located], row_format=row_format, settings=config.settings, contents=contents, progress=lambda _: None
    )


def document(*questions: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "v2.0",
        "data": [{"title": "Denver", "paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}],
    }


def question(text: str, *pairs: tuple[str, int], **more: Any) -> dict[str, Any]:
    found = [{"text": answer, "answer_start": start} for answer, start in pairs]
    return {"id": text, "question": text, "answers": found} | more


def test_a_file_of_squad_is_read_question_by_question(tmp_path):
    file = tmp_path / "dev-v2.0.json"
    impossible = question("When?", ("Denver", 11), is_impossible=True)
    file.write_text(json.dumps(document(question("Where?", ("Denver", 11)), impossible)))
    found = read(tmp_path, file)
    rows = [row for batch in found.table.read() for row in batch]
    assert [(row["question"], row["answers"]["text"]) for row in rows] == [("Where?", ["Denver"]), ("When?", [])]
    assert found.table.place(1).endswith("dev-v2.0.json question 2")


def test_rows_that_cannot_be_used_are_counted_and_refused_in_one_message(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(document(question("Where?", ("Denver", 12)), question("And where?", ("Denver", 11)))))
    with pytest.raises(DataError) as refused:
        read(tmp_path, file)
    assert "1 of 2 rows cannot be used: 1 the context has another text at answer_start" in str(refused.value)
    assert "question 1" in str(refused.value)
    tolerant = read(
        tmp_path, file, data={"validateRows": {"maxBadFraction": 0.5}, "train": [{"uri": f"file://{file}"}]}
    )
    assert len(tolerant.table.row_ids) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b"}]}]}]}', "is no SQuAD file: KeyError"),
        ('{"data": [{"paragraphs": [', "is no SQuAD file: JSONDecodeError"),
        ('{"data": {"paragraphs": [1]}}', "is no SQuAD file: TypeError"),
    ],
)
def test_a_document_of_another_shape_is_refused(tmp_path, content, message):
    file = tmp_path / "train.json"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path, file)


def test_a_document_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(document(question("Where?", ("Denver", 11)))))
    monkeypatch.setattr(read_squad, "MOST_BYTES", 10)
    with pytest.raises(DataError, match="a JSON document may have 10"):
        read(tmp_path, file)


def test_json_lines_keep_their_reader(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"context": CONTEXT, "question": "Where?", "answers": answers(("Denver", 11))}) + "\n")
    assert len(read(tmp_path, file).table.row_ids) == 1


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"model_source": {"labels": ["a", "b"]}}, "model.labels"),
        ({"labelRule": {"above": 1, "names": ["a", "b"]}}, "labelRule"),
    ],
)
def test_settings_of_classes_are_refused(tmp_path, settings, field):
    file = tmp_path / "train.json"
    file.write_text(json.dumps(document(question("Where?", ("Denver", 11)))))
    if "labelRule" in settings:
        settings = {"data": {"train": [{"uri": f"file://{file}"} | settings]}}
    with pytest.raises(ConfigError, match=field):
        read(tmp_path, file, **settings)
