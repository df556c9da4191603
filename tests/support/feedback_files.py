"""Files of feedback rows as servers write them, and the snapshot that a job takes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tuneloop_api.contract.feedback_row import FeedbackRow
from tuneloop_trainer.data.feedback.snapshot import sides_of, snapshot_of
from tuneloop_trainer.data.row_table import TRAIN
from tuneloop_trainer.data.text_key import text_key

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()
CUTOFF = "2026-11-30T13:00:00Z"
HOUR = 3600


def of_side(side: int, number: int = 0) -> str:
    """A text of a side."""
    found = (text for text in (f"film {n}" for n in range(10_000)) if sides_of([text_key(text)], [False]) == [side])
    return [next(found) for _ in range(number + 1)][-1]


def row(
    token: str,
    label: str | None = "good",
    *,
    text: str | None = "",
    at: float = NOON,
    source="client",
    predicted_at: float = NOON - HOUR,
):
    return FeedbackRow(
        predicted_at=predicted_at,
        labelled_at=at,
        revision="7d1f0b2c",
        predicted="good",
        confidence_bin=9,
        correct=label == "good",
        label=label,
        text=of_side(TRAIN) if text == "" else text,
        token=token,
        source=source,
    )


def line(found: FeedbackRow) -> bytes:
    return json.dumps(found.to_wire()).encode() + b"\n"


def write(folder, *shards) -> None:
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(shards):
        (folder / f"2026-11-30-{number}.jsonl").write_bytes(b"".join(map(line, rows)))


def taken(folder, *, split: int = TRAIN, **changes):
    given = {"uri": "feedback://reviews", "field": "data.train[0]", "cutoff": CUTOFF, "snapshots": folder / "job"}
    return snapshot_of(folder / "rows", split=split, **(given | changes))


def rows_of(folder, **changes) -> list[tuple[str, str]]:
    lines = taken(folder, **changes).path.read_bytes().splitlines()
    return [(found["text"], found["label"]) for found in map(json.loads, lines)]
