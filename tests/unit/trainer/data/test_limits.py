"""The pages about data name the limits of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop_trainer.data.sources.parquet_pages import LARGEST_PAGE, MOST_LIST_VALUES
from tuneloop_trainer.data.sources.raw import BATCH_CHARACTERS, LONGEST_ROW
from tuneloop_trainer.data.sources.read_delimited import _GIVEN_BACK

ROOT = Path(__file__).parents[4]
DECISION = (ROOT / "docs/decisions/0024-a-row-has-a-size-that-memory-can-hold.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (DECISION, f"a row: {LONGEST_ROW:,} characters"),
        (DECISION, f"a page of a Parquet file: {LARGEST_PAGE / MIB:g} MiB"),
        (DECISION, f"the lists of a Parquet column: {MOST_LIST_VALUES:,} values"),
        (DECISION, f"A batch of rows ends at {BATCH_CHARACTERS:,} characters"),
        (DECISION, f"{_GIVEN_BACK / MIB:g} MiB and eight times the size of the file may be read again"),
        (SECURITY, f"A row has at most {LONGEST_ROW:,} characters"),
        (SECURITY, f"a page of a Parquet file has at most {LARGEST_PAGE / MIB:g} MiB"),
    ],
)
def test_the_page_has_the_number_of_the_code(page, words):
    assert words in page
