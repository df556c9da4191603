"""Rows on disk come back in order, in batches that fit into memory."""

from __future__ import annotations

import pytest

from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.sources.raw import BATCH_CHARACTERS, BATCH_ROWS
from tuneloop_trainer.data.sources.spool import RowSpool, read_spool


@pytest.mark.parametrize(
    ("rows", "characters", "batches"),
    [
        pytest.param(0, 1, [], id="no row"),
        pytest.param(BATCH_ROWS, 1, [BATCH_ROWS], id="just a batch"),
        pytest.param(BATCH_ROWS + 3, 1, [BATCH_ROWS, 3], id="a batch and a rest"),
        pytest.param(5, BATCH_CHARACTERS // 2, [2, 2, 1], id="long rows"),
    ],
)
def test_rows_come_back_in_order_and_in_batches(tmp_path, rows, characters, batches):
    written = [{"text": f"text {number}", "label": "a"} for number in range(rows)]
    with RowSpool(tmp_path / "rows.arrow", FORMATS["text-label"].schema) as spool:
        for row in written:
            spool.add(row, characters=characters)
    read = list(read_spool(tmp_path / "rows.arrow"))
    assert [len(batch) for batch in read] == batches
    assert [row for batch in read for row in batch] == written
