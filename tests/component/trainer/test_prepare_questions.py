"""Prepared questions: long contexts become windows, rows stay rows, and what cannot be read is counted or refused before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from questions_in_contexts import asked_questions, write_json_lines
from run_configs import run_config
from tiny_models import tiny_bert

from tuneloop_api.contract.results import PrepareResult
from tuneloop_trainer.dataset.shards import GROUPS, WINDOW, open_split, read_manifest, read_rows
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

ROWS = asked_questions(120)
TOO_LONG = {"context": "a good tale", "question": "is it good " * 8, "answers": {"text": ["good"], "answer_start": [2]}}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("base"))


def prepared(folder: Path, model: Path, rows: list[dict[str, Any]], **settings: Any) -> PrepareResult:
    data = {"maxTokens": 24} | settings.pop("data", {})
    options = {"docStride": 8} | settings.pop("taskOptions", {})
    config = run_config(
        folder,
        task="question-answering",
        taskOptions=options,
        sources=[write_json_lines(folder / "train.jsonl", rows)],
        model=model,
        data=data,
        **settings,
    )
    return prepare(config, Reporter(config))


def test_windows_of_a_row_stand_together_and_in_one_split(tmp_path, model):
    result = prepared(tmp_path, model, [*ROWS, TOO_LONG])
    dataset = Path(result.dataset_path)
    found = []
    for name in SPLITS:
        split, rows = open_split(dataset, name), list(read_rows(dataset, name))
        firsts = split.first_windows
        assert split.rows[firsts].tolist() == [row_id for row_id, _ in rows]
        assert np.unique(split.rows).size == len(rows)
        assert (
            split.row_of_window.tolist()
            == np.repeat(np.arange(len(rows)), np.diff([*firsts, len(split.rows)])).tolist()
        )
        assert (split.rows == split.rows[firsts][split.row_of_window]).all()
        assert (np.diff(split.row_columns[WINDOW])[np.diff(split.row_of_window) == 0] == 1).all()
        assert set(split.targets) == {1}
        assert split.lengths.max() <= 24
        found += [row["question"] + row["context"] for _, row in rows]
    assert sorted(found) == sorted(row["question"] + row["context"] for row in ROWS)


def test_the_plan_counts_windows_and_the_report_rows(tmp_path, model):
    result = prepared(tmp_path, model, [*ROWS, TOO_LONG], training={"epochs": 1.0, "globalBatchSize": 8})
    dataset = Path(result.dataset_path)
    report = json.loads(Path(result.report_path).read_text())
    windows = {name: len(open_split(dataset, name).rows) for name in SPLITS}
    assert result.resolved.steps_per_epoch == -(-windows["train"] // 8)
    assert result.counts.rows == sum(report["rows"].values()) == len(ROWS)
    assert report["tokens"]["windows"] == windows
    assert sum(windows.values()) > len(ROWS)
    assert result.counts.truncated == 0
    assert sum(report["tokens"]["withoutTarget"].values()) == 1
    notes = " ".join(read_manifest(dataset).notes)
    assert f"{len(ROWS)} rows are read in {sum(windows.values())} windows of at most 24 tokens" in notes
    assert "1 of 121 rows were left out: 1 have nothing to learn before the cut" in notes


def test_short_contexts_are_one_window_each_and_worth_no_note(tmp_path, model):
    result = prepared(tmp_path, model, asked_questions(60, words=(8, 9)), data={"maxTokens": 40})
    manifest = read_manifest(Path(result.dataset_path))
    assert sum(files.rows for files in manifest.splits.values()) == 60
    assert manifest.notes == []


def test_a_context_longer_than_the_model_reads_is_read_to_its_end(tmp_path, model):
    result = prepared(tmp_path, model, asked_questions(40, words=(70, 90)))
    dataset = Path(result.dataset_path)
    split = open_split(dataset, "train")
    lasts = [*(split.first_windows[1:] - 1).tolist(), len(split.rows) - 1]
    ends = [int(split.token_column("ends", last).max()) for last in lasts]
    assert ends == [len(row["context"]) for _, row in read_rows(dataset, "train")]


def test_every_window_of_a_row_is_in_its_group(tmp_path, model):
    rows = [row | {"page": f"page {number // 4}"} for number, row in enumerate(ROWS)]
    result = prepared(tmp_path, model, rows, data={"split": {"groupBy": "page"}})
    dataset = Path(result.dataset_path)
    pages = [set(open_split(dataset, name).row_columns[GROUPS].tolist()) for name in SPLITS]
    assert sum(map(len, pages)) == len(set().union(*pages)) == 30


@pytest.mark.parametrize(
    ("options", "unanswerable", "message"),
    [
        ({"noAnswer": "allowed"}, 0.0, "no row of the validation split is without an answer"),
        ({"noAnswer": "forbidden"}, 0.2, "question without an answer"),
    ],
)
def test_what_the_rows_do_not_have_is_refused_before_training(tmp_path, model, options, unanswerable, message):
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, model, asked_questions(60, unanswerable=unanswerable), taskOptions=options)


def test_allowing_no_answer_takes_rows_that_have_none(tmp_path, model):
    result = prepared(tmp_path, model, ROWS, taskOptions={"noAnswer": "allowed"})
    assert result.counts.rows == len(ROWS)


def test_a_stride_makes_another_data_set(tmp_path, model):
    digests = {prepared(tmp_path, model, ROWS, taskOptions={"docStride": stride}).dataset_digest for stride in (2, 8)}
    assert len(digests) == 2


def test_questions_that_are_all_too_long_are_refused(tmp_path, model):
    with pytest.raises(DataError, match="24 tokens hold nothing to learn of any row"):
        prepared(tmp_path, model, [TOO_LONG | {"context": f"a good tale {word}"} for word in "abcdefghijklmnopqrst"])
