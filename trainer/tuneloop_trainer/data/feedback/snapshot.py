"""Makes one file of the rows of feedback that a source means: up to a cutoff, and of one side.

The side of a text is decided by its hash, the same way for ever: no seed and no setting plays a part, so that a text on which a model was judged
never trains a later one, nor the other way round. A text whose first feedback was of a random audit is for testing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from tuneloop_api.objects.storage import ALL_TRIES
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.uris import ObjectPath, feedback_deployment
from tuneloop_trainer.data.feedback.in_bucket import shards_of_bucket
from tuneloop_trainer.data.feedback.labelled import labelled_texts
from tuneloop_trainer.data.hash_split import by_hash
from tuneloop_trainer.data.row_table import KEY_BYTES, TEST, TRAIN, VALIDATION
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.durable import make_folder, replace_durably
from tuneloop_trainer.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_api.contract.feedback_row import FeedbackForm
    from tuneloop_trainer.data.feedback.labelled import LabelledTexts

HELD_OUT = {VALIDATION: 0.1, TEST: 0.1}
"""Part of the texts that is never trained on. The numbers and the seed never change."""
_SEED = 0x66656564


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The rows of a source of feedback, as a file."""

    path: Path
    """JSON lines in the format of the job: `text` and `label`, `prompt` and `completion`, or `messages`."""
    facts: dict[str, Any]
    """For the data report: the cutoff, and what became of the feedback."""


def snapshot_of(
    rows: Path | ObjectPath | None,
    *,
    uri: str,
    field: str,
    split: int,
    cutoff: str | None,
    snapshots: Path,
    window: str | None = None,
    run: str = "",
    tries: int = ALL_TRIES,
    clock: float | None = None,
    form: FeedbackForm = "text-label",
) -> Snapshot:
    """Return the snapshot of a source; one that this job took before stays, also where the files are gone by now.

    rows: folder of the servers' files, or where they are in a bucket; None: only a snapshot that was taken before can be had. field: of the source, for messages. cutoff: RFC 3339; None: now.
    snapshots: folder of the job. window: a duration before the cutoff, in which the predictions were made; None: any time. run: names a run that
    must take new ones. tries: how often a bucket is asked at most. clock: now, in seconds since 1970, for tests. form: of the rows that count.
    Raises ConfigError for a cutoff that is no time, a folder that is a link, or none; DataError if there is no row, or the bucket refuses; StorageError for what may pass.
    """
    name = digest_of([uri, field, cutoff, run, *([] if window is None else [window])])[:16]
    path, about = snapshots / f"{name}.jsonl", snapshots / f"{name}.json"
    if about.exists():
        return Snapshot(path=path, facts=json.loads(about.read_bytes()))
    if rows is None:
        raise ConfigError(
            f"{field}.uri: {uri}: the rows of feedback of {feedback_deployment(uri)} cannot be reached from here"
        )
    until = (time.time() if clock is None else clock) if cutoff is None else _moment(cutoff, field=field)
    make_folder(snapshots)
    draft = snapshots / f"{name}.draft"
    with (
        _files(rows, uri=uri, field=field, fetched=snapshots / f"{name}.objects", tries=tries) as folder,
        tempfile.TemporaryDirectory(prefix="tuneloop-feedback-") as scratch,
        labelled_texts(folder, cutoff=until, scratch=Path(scratch), name=uri) as found,
        draft.open("wb") as file,
    ):
        since = None if window is None else until - seconds(window)
        sides = _write(found, file, split=split, since=since, form=form)
        facts = _facts(found, until=until, sides=sides, form=form) | ({} if window is None else {"window": window})
        os.fsync(file.fileno())
    if sides[split] == 0:
        draft.unlink()
        raise _no_rows(facts, uri=uri, field=field, split=split)
    draft.replace(path)
    replace_durably(about, json.dumps(facts).encode())
    return Snapshot(path=path, facts=facts)


def sides_of(keys: list[bytes], audits: list[bool]) -> list[int]:
    """Return the split to which each text belongs. keys: of `text_key`, 16 bytes. audits: whether the first feedback of the text was of an audit."""
    units = np.frombuffer(b"".join(keys), dtype=f"V{KEY_BYTES}")
    hashed = by_hash(units, fractions=HELD_OUT, seed=_SEED)
    return [TEST if is_audit else int(side) for side, is_audit in zip(hashed, audits, strict=True)]


def _write(
    found: LabelledTexts, file: BinaryIO, *, split: int, since: float | None, form: FeedbackForm
) -> dict[int, int]:
    """Write the rows of a side; return how many rows each side has. since: of the predictions, in seconds since 1970."""
    counts = dict.fromkeys((TRAIN, VALIDATION, TEST), 0)
    for batch in found.rows(form=form, since=since):
        sides = sides_of([key for _, _, key, _ in batch], [is_audit for *_, is_audit in batch])
        for (text, label, _, _), side in zip(batch, sides, strict=True):
            counts[side] += 1
            if side == split:
                file.write(json.dumps(_row(text, label, form=form), ensure_ascii=False).encode() + b"\n")
    file.flush()
    return counts


def _row(text: str, label: str, *, form: FeedbackForm) -> dict[str, Any]:
    """Return a row as its format names the columns. label: the right label, or the right answer."""
    if form == "messages":
        return {"messages": [*json.loads(text), {"role": "assistant", "content": label}]}
    return {"prompt": text, "completion": label} if form == "prompt-completion" else {"text": text, "label": label}


def _facts(found: LabelledTexts, *, until: float, sides: Mapping[int, int], form: FeedbackForm) -> dict[str, Any]:
    predictions, without_text, without_label, of_other_form = found.predictions(form)
    return {
        "cutoff": datetime.fromtimestamp(until, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "files": found.counts["files"],
        "feedback": found.counts["feedback"],
        "damagedLines": found.counts["damaged"],
        "predictions": predictions,
        "withoutText": without_text,
        "withoutLabel": without_label,
        "ofOtherForm": of_other_form,
        "sides": {SPLITS[side]: count for side, count in sides.items()},
    }


@contextmanager
def _files(rows: Path | ObjectPath, *, uri: str, field: str, fetched: Path, tries: int) -> Iterator[Path]:
    """Give the folder of the servers' files; of a bucket, those that are there by now. fetched: a folder for them."""
    if isinstance(rows, ObjectPath):
        with shards_of_bucket(rows, what=f"{field}.uri: {uri}", folder=fetched, tries=tries) as folder:
            yield folder
        return
    if rows.is_symlink():
        raise ConfigError(
            f"{field}.uri: {uri}: the folder of its rows, {rows}, is a link", hint="put the files themselves there"
        )
    yield rows


def _moment(cutoff: str, *, field: str) -> float:
    try:
        return datetime.fromisoformat(cutoff).timestamp()
    except ValueError:
        raise ConfigError(f"{field}.cutoff: {cutoff} is no time; for example 2026-11-30T12:00:00Z") from None


def _no_rows(facts: Mapping[str, Any], *, uri: str, field: str, split: int) -> DataError:
    window = f", of predictions of the last {facts['window']}" if "window" in facts else ""
    return DataError(
        f"{field}.uri: {uri} has no row for {SPLITS[split]} up to {facts['cutoff']}{window}: {facts['predictions']:,} predictions have feedback, "
        f"{facts['withoutText']:,} of them without a text, {facts['withoutLabel']:,} with a text and without a label, {facts['ofOtherForm']:,} with a text of another format than the job's",
        hint="clients send `input` beside the label or the correction, and spec.feedback.storeInputs of the deployment allows texts to be kept; of the texts 8 of 10 are for "
        "train, 1 for validation and 1 for test",
    )
