"""Reads the rows of feedback that servers have written, in any number of files: one row for each prediction, whatever the files' order.

The rows are collected in a database in a scratch folder, so that they need not fit into memory.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import sqlite3
import stat
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError

from tuneloop_api.contract.feedback_row import SHARD_SUFFIX, FeedbackRow
from tuneloop_trainer.data.formats.messages import ASSISTANT, ROLES
from tuneloop_trainer.data.text_key import text_key
from tuneloop_trainer.errors import DataError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.contract.feedback_row import FeedbackForm

LOG = logging.getLogger(__name__)
_LONGEST_LINE = 16 * 1024 * 1024
"""Bytes. A server takes bodies of 1 MiB."""
_TABLE = """
CREATE TABLE predictions (
    token TEXT PRIMARY KEY, predicted_at REAL, last_at REAL, label TEXT, text_at REAL, text BLOB, text_key BLOB, is_audit INTEGER, form TEXT
) WITHOUT ROWID
"""
_IS_EARLIER = """
excluded.text IS NOT NULL
AND (text IS NULL OR (excluded.text_at, excluded.text, -excluded.is_audit) < (text_at, text, -is_audit))
"""
_ADD = f"""
INSERT INTO predictions VALUES (:token, :predicted_at, :at, :label, :at, :text, :text_key, :is_audit, :form)
ON CONFLICT (token) DO UPDATE SET
    label = iif((excluded.last_at, coalesce(excluded.label, '')) > (last_at, coalesce(label, '')), excluded.label, label),
    last_at = max(last_at, excluded.last_at),
    text_at = iif({_IS_EARLIER}, excluded.text_at, text_at),
    text = iif({_IS_EARLIER}, excluded.text, text),
    text_key = iif({_IS_EARLIER}, excluded.text_key, text_key),
    form = iif({_IS_EARLIER}, excluded.form, form),
    is_audit = iif({_IS_EARLIER}, excluded.is_audit, is_audit)
"""  # noqa: S608  (of constants)
"""The last label and the first text: where a prediction has two texts, of which one was masked, later feedback never moves it."""
_FIRST = """
CREATE TABLE texts AS SELECT text_key, is_audit FROM (
    SELECT text_key, is_audit, row_number() OVER (PARTITION BY text_key ORDER BY text_at, is_audit DESC) AS place
    FROM predictions WHERE text IS NOT NULL
) WHERE place = 1
"""
_PREDICTIONS = """
SELECT count(*), count(*) FILTER (WHERE text IS NULL), count(*) FILTER (WHERE text IS NOT NULL AND label IS NULL),
    count(*) FILTER (WHERE text IS NOT NULL AND form <> :form) FROM predictions
"""
_LABELLED = """
SELECT text, label, text_key, texts.is_audit FROM predictions JOIN texts USING (text_key)
WHERE label IS NOT NULL AND form = :form AND predicted_at >= :since ORDER BY last_at DESC, token
"""


class LabelledTexts:
    """One row for each prediction: the last label that came for it, and its text."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.counts: Counter[str] = Counter()
        """Of what was read: `files`, `feedback` (up to the cutoff), `damaged` lines."""

    def add(self, row: FeedbackRow) -> None:
        """Add a row of a file. Of several rows of a prediction the last label counts, even where it says only that the prediction was wrong."""
        self.counts["feedback"] += 1
        text = row.text if row.text is not None and _can_be_learned_from(row.text, form=row.form) else None
        self._database.execute(
            _ADD,
            {
                "token": row.token,
                "predicted_at": row.predicted_at,
                "at": row.labelled_at,
                "label": row.label,
                "text": None if text is None else text.encode(),
                "text_key": None if text is None else text_key(text),
                "is_audit": row.source == "audit",
                "form": row.form,
            },
        )

    def finish(self) -> None:
        """Find out for each text whether the first feedback for it was of an audit."""
        self._database.execute("CREATE INDEX keys ON predictions (text_key)")
        self._database.execute(_FIRST)
        self._database.execute("CREATE UNIQUE INDEX first ON texts (text_key)")

    def predictions(self, form: FeedbackForm = "text-label") -> tuple[int, int, int, int]:
        """Return how many predictions have feedback, how many of them no text, how many a text and no label, and how many a text of another form."""
        all_of_them, *of_them = self._database.execute(_PREDICTIONS, {"form": form}).fetchone()
        without_text, without_label, of_other_form = of_them
        return all_of_them, without_text, without_label, of_other_form

    def rows(
        self, *, form: FeedbackForm = "text-label", since: float | None = None, at_a_time: int = 2048
    ) -> Iterator[list[tuple[str, str, bytes, bool]]]:
        """Yield (text, label, key of the text, whether the text is of an audit) in batches, the newest label first: of equal texts the first row counts.

        form: what text and label are; of other forms there are no rows. since: of the predictions, in seconds since 1970; None: all. What an older one says of its text, such as that it is of an audit, counts in any case.
        """
        found = self._database.execute(_LABELLED, {"form": form, "since": -math.inf if since is None else since})
        while batch := found.fetchmany(at_a_time):
            yield [(text.decode(), label, key, bool(is_audit)) for text, label, key, is_audit in batch]


@contextmanager
def labelled_texts(folder: Path, *, cutoff: float, scratch: Path, name: str) -> Iterator[LabelledTexts]:
    """Read all files of a folder up to the cutoff.

    cutoff: seconds since 1970; feedback that came later does not count. scratch: for the database. name: of the source, for messages.
    Raises DataError for a row of a newer release, StorageError if the scratch folder has no room.
    """
    try:
        with closing(sqlite3.connect(scratch / "feedback.sqlite")) as database:
            for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
                database.execute(f"PRAGMA {setting}")
            database.execute(_TABLE)
            found = LabelledTexts(database)
            _read_all(folder, found, cutoff=cutoff, name=name)
            found.finish()
            yield found
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"{scratch}: the rows of feedback cannot be collected: {error}",
            hint="the scratch folder of the node needs as much room as the rows of feedback have",
        ) from error


def _read_all(folder: Path, found: LabelledTexts, *, cutoff: float, name: str) -> None:
    for path in sorted(folder.glob(f"*{SHARD_SUFFIX}")) if folder.is_dir() else ():
        if (file := _opened(path, name=f"{name}/{path.name}")) is not None:
            found.counts["files"] += 1
            with file:
                _read(file, found, cutoff=cutoff, name=f"{name}/{path.name}")


def _opened(path: Path, *, name: str) -> BinaryIO | None:
    """Return a file of rows; None if it is gone, or no plain file: whoever may write to the claim must not lead the job elsewhere, nor make it wait."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:  # a server has removed it, for its retention is over
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    LOG.warning("%s: is no plain file, and is passed over", name)
    return None


def _read(file: BinaryIO, found: LabelledTexts, *, cutoff: float, name: str) -> None:
    for line in _whole_lines(file, found):
        row = _row(line, name=name)
        if row is None:
            found.counts["damaged"] += 1
        elif row.labelled_at <= cutoff:
            found.add(row)


def _whole_lines(file: BinaryIO, found: LabelledTexts) -> Iterator[bytes]:
    """Yield the lines that have an end. The last one has none while it is written, or if a crash has cut it."""
    while line := file.readline(_LONGEST_LINE):
        if line.endswith(b"\n"):
            yield line
        elif len(line) == _LONGEST_LINE:
            found.counts["damaged"] += 1
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass


def _row(line: bytes, *, name: str) -> FeedbackRow | None:
    """Return the row of a line; None if the line is damaged. Raises DataError for one of a newer release."""
    try:
        content = json.loads(line)
        if isinstance(content, dict) and isinstance(content.get("version"), int) and content["version"] > 1:
            raise DataError(
                f"{name}: has rows of version {content['version']}, and this trainer knows version 1",
                hint="use the trainer's image of the release that serves the model",
            )
        row = FeedbackRow.from_wire(content)
        (row.text or "").encode()
        (row.label or "").encode()
        if row.form == "messages" and row.text is not None:
            _require_messages(json.loads(row.text))
    except (ValueError, RecursionError, ValidationError):
        return None
    return row


def _can_be_learned_from(text: str, *, form: FeedbackForm) -> bool:
    """Whether a text is a row that its format reads. One that is not would fail every job: a blank text, or a conversation with a blank answer."""
    if form != "messages":
        return bool(text.strip())
    return all(
        message.get("role") in ROLES
        and isinstance(message.get("content"), str)
        and (message["role"] != ASSISTANT or message["content"].strip())
        for message in json.loads(text)
    )


def _require_messages(found: object) -> None:
    """Raise ValueError unless this is a conversation."""
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        raise ValueError("no list of messages")
