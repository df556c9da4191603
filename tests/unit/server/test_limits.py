"""`SECURITY.md` has a table of what a client may cost. Its numbers are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop_api.contract.server_config import MOST_BODY_BYTES
from tuneloop_server.body_memory import MOST_BYTES, SMALL_BYTES
from tuneloop_server.connections import _KEEP_ALIVE_SECONDS, ConnectionLimits

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (Path(__file__).parents[3] / "SECURITY.md").read_text().splitlines()
    if line.startswith("| ")
]
TABLE = {name: server for name, server, *_ in ROWS}
LIMITS = ConnectionLimits()
KIB, MIB = 1024, 1024 * 1024


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("headers with the URL", f"{LIMITS.header_bytes / KIB:g} KiB and {LIMITS.headers} headers (431)"),
        ("headers with the URL", f"the URL {LIMITS.url_bytes / KIB:g} KiB (414)"),
        ("body", f"{MOST_BODY_BYTES / MIB:g} MiB (413)"),
        ("body", f"all requests that are held {MOST_BYTES / MIB:g} MiB, the first {SMALL_BYTES / KIB:g} KiB of each"),
        ("time for headers", f"{LIMITS.header_seconds:g} s (408)"),
        ("time for the body", f"{LIMITS.body_seconds:g} s (408)"),
        ("time to read an answer", f"{LIMITS.answer_seconds:g} s"),
        ("between two requests", f"{_KEEP_ALIVE_SECONDS:g} s"),
        ("connections", f"{LIMITS.connections} and `batching.maxQueue`"),
    ],
)
def test_the_table_has_the_numbers_of_the_code(row, words):
    assert words in TABLE[row]
