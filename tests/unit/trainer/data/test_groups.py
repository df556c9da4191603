"""The column that keeps rows together (`data.split.groupBy`): who must have a value there, and which values are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config

from tuneloop_trainer.data.collect import Collected, LocatedSource, collect
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.locate import files_of


def collected(folder: Path, *groups: dict[str, Any], group_by: str | None) -> Collected:
    """Read one row of a text and a label for each of these further columns. One bad row in two is tolerated."""
    file = folder / "rows.jsonl"
    rows = [{"text": f"text {number}", "label": "a"} | group for number, group in enumerate(groups)]
    file.write_text("\n".join(map(json.dumps, rows)))
    split = {"groupBy": group_by} if group_by else {}
    data = {"train": [{"uri": f"file://{file}"}], "split": split, "validateRows": {"maxBadFraction": 0.5}}
    settings = run_config(folder, stage="prepare", data=data).settings
    (source,) = settings.data.train
    found = files_of(source, claims={}, field="data.train[0]")
    return collect(
        [LocatedSource(field="data.train[0]", split=TRAIN, settings=source, files=found)],
        row_format=FORMATS["text-label"],
        settings=settings,
        contents=folder / ".rows",
        progress=lambda _done: None,
    )


@pytest.mark.parametrize("group", [{"user": None}, {"user": ""}, {}], ids=["null", "empty", "absent"])
def test_a_row_without_a_group_is_bad_where_rows_are_grouped(tmp_path, group):
    found = collected(tmp_path, {"user": "u1"}, group, group_by="user")
    assert [sample.reason for sample in found.bad.samples] == ["missing group"]
    assert [row["text"] for batch in found.table.read() for row in batch] == ["text 0"]


def test_a_row_needs_no_group_where_rows_are_not_grouped(tmp_path):
    found = collected(tmp_path, {"user": "u1"}, {"user": None}, {}, group_by=None)
    assert found.bad.samples == []
    assert len(found.table.row_ids) == 3


def test_a_number_and_its_text_are_the_same_group(tmp_path):
    found = collected(tmp_path, {"user": 7}, {"user": "7"}, {"user": 8}, group_by="user")
    first, second, third = (key.tobytes() for key in found.table.group_keys)
    assert first == second != third
