"""Long texts are read in blocks to their end, from `prepare` to the exported files; rows with a question are cut, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_configs import run_config
from tiny_language_models import pairs, tiny_decoder, write_rows
from tiny_masked import save_masked

from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_trainer.check import plan
from tuneloop_trainer.dataset.shards import WINDOW, open_split
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

MOST = 24
TEXTS = [{"text": f"{number} " + "snow is white and coal is black. " * (1 + number % 5)} for number in range(40)]
MODELS = {
    "text-generation": tiny_decoder,
    "fill-mask": lambda folder: save_masked(folder, "roberta", max_tokens=MOST),
}


def config_of(folder: Path, task: str, rows: list[dict[str, Any]], *, format_: str, rehearsal: bool) -> RunConfig:
    return run_config(
        folder,
        task=task,
        sources=[write_rows(folder / "train.jsonl", rows)],
        model=MODELS[task](folder / "model"),
        data={"format": format_, "maxTokens": MOST},
        preflight={"rehearsal": rehearsal},
    )


def prepared(folder: Path, task: str, rows: list[dict[str, Any]], *, format_: str, rehearsal: bool) -> PrepareResult:
    config = config_of(folder, task, rows, format_=format_, rehearsal=rehearsal)
    return prepare(config, Reporter(config))


@pytest.mark.parametrize("task", MODELS)
def test_long_texts_are_read_in_blocks_by_the_whole_job(tmp_path, task):
    found = prepared(tmp_path, task, TEXTS, format_="text", rehearsal=True)
    assert (found.counts.rows, found.counts.truncated) == (40, 0)
    assert (found.rehearsal or "").startswith("trained, saved, exported and loaded this model")
    (note,) = [note for note in found.notes or () if "windows" in note]
    assert note.startswith("40 rows are read in ")
    split = open_split(Path(found.dataset_path), "train")
    assert split.lengths.max() <= MOST
    assert len(split.first_windows) == found.counts.splits["train"] < len(split.rows)
    sizes = np.bincount(split.row_of_window, minlength=len(split.first_windows))
    assert sizes.max() == split.row_column(WINDOW).max() + 1 > 2


@pytest.mark.parametrize("task", MODELS)
def test_a_plan_has_the_steps_that_the_blocks_take(tmp_path, task):
    config = config_of(tmp_path, task, TEXTS, format_="text", rehearsal=False)
    found = plan(config)
    assert sum(found.rows.values()) == 40
    expected = prepare(config, Reporter(config)).resolved
    assert (found.resolved.steps_per_epoch, found.resolved.total_steps) == (
        expected.steps_per_epoch,
        expected.total_steps,
    )


def test_the_end_of_a_completion_is_cut_and_counted(tmp_path):
    long = [{"prompt": f"{number}?", "completion": " white" * 60} for number in range(7)]
    found = prepared(tmp_path, "text-generation", [*pairs(20), *long], format_="prompt-completion", rehearsal=False)
    split = open_split(Path(found.dataset_path), "train")
    assert found.counts.truncated >= len(long)
    assert WINDOW not in split.row_columns
