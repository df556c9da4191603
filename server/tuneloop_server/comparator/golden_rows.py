"""Reads the golden set: JSON lines `{"inputs": "A fine film.", "label": "positive"}`, one row at a time, so that memory does not grow with the file.

Where the models generate, a row is a request as a client sends it, with the right answer as its label: `inputs` with perhaps `parameters` of
Hugging Face's API, or `messages` with perhaps `max_tokens` and `stop` of OpenAI's.

Rows are checked when the process starts and again at each replay; nothing of them is kept. What is said of a bad row names its line and field, and
never shows its text.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import closing
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from tuneloop_server.answers.answer_format import UnreadableLabel
from tuneloop_server.comparator.generated_requests import GOLDEN_HF_PATH, golden_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneloop_server.answers.answer_format import AnswerFormat, Classes

MOST_BYTES = 50_000_000
MOST_ROWS = 20_000
MOST_LINE_BYTES = 1024 * 1024
_SENTENCES_KEPT = 10
_EXAMPLE = 'example: {"inputs": "A fine film.", "label": "positive"}'
_PARAMETERS_EXAMPLE = 'example: {"inputs": "Ada was", "parameters": {"max_new_tokens": 20}}'
_CHAT_EXAMPLE = 'example: {"messages": [{"role": "user", "content": "Who was Ada?"}], "label": "A mathematician."}'


class GoldenSetRefused(Exception):  # noqa: N818  (named for what it means)
    """The set cannot be replayed. The text is one line that a user can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenRow:
    """A row that can be replayed."""

    line: int
    target: bytes
    """Path and query that it is asked at."""
    body: bytes
    right: Classes | None
    """None: the row has no label, and counts for agreement and times only."""
    reference: str | None = None
    """The text that would be right, where the models generate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """What is in the file."""

    rows: int
    bad_rows: int
    first_bad_rows: tuple[str, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class GoldenFile:
    """The golden set, as its task reads it."""

    path: str
    answers: AnswerFormat
    labels: Sequence[str]
    max_bad_fraction: float

    def check(self) -> GoldenCheck:
        """Read the whole file. Raises GoldenSetRefused if it cannot be read, has no row, or has too many bad ones."""
        digest, sentences = hashlib.sha256(), list[str]()
        rows = bad_rows = 0
        for row in self.read(digest=digest):
            if isinstance(row, GoldenRow):
                rows += 1
                continue
            bad_rows += 1
            if len(sentences) < _SENTENCES_KEPT:
                sentences.append(f"line {row.line}: {row.problem}")
        if rows == 0 or bad_rows > self.max_bad_fraction * (rows + bad_rows):
            raise GoldenSetRefused(self._refusal(rows, bad_rows, sentences))
        return GoldenCheck(rows=rows, bad_rows=bad_rows, first_bad_rows=tuple(sentences), digest=named(digest))

    def read(self, *, digest: hashlib._Hash | None = None) -> Iterator[GoldenRow | BadRow]:
        """Yield each row. Empty lines are left out. Raises GoldenSetRefused. digest: takes the bytes of the file."""
        try:
            yield from self._read(digest)
        except OSError as error:
            raise GoldenSetRefused(f"{self.path}: cannot be read ({error.strerror})") from error

    def _read(self, digest: hashlib._Hash | None) -> Iterator[GoldenRow | BadRow]:
        with closing(self._open()) as file:
            size = rows = line = 0
            for piece, goes_on in _pieces(file):
                size += len(piece)
                if digest is not None:
                    digest.update(piece)
                if size > MOST_BYTES:
                    raise GoldenSetRefused(f"{self.path}: has more than {MOST_BYTES} bytes; give a smaller set")
                line += not goes_on
                if goes_on or not piece.strip():
                    continue
                rows += 1
                if rows > MOST_ROWS:
                    raise GoldenSetRefused(f"{self.path}: has more than {MOST_ROWS} rows; give a smaller set")
                yield self._row(line, piece)

    def _open(self) -> IO[bytes]:
        """Return the open file. Raises OSError, and GoldenSetRefused for what is no plain file: to open a pipe would wait."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise GoldenSetRefused(f"{self.path}: is no file; expected JSON lines; {_EXAMPLE}")
        return os.fdopen(descriptor, "rb")

    def _row(self, line: int, content: bytes) -> GoldenRow | BadRow:
        if len(content) > MOST_LINE_BYTES:
            return BadRow(line=line, problem=f"has more than {MOST_LINE_BYTES} bytes")
        try:
            row = json.loads(content)
        except (ValueError, RecursionError):  # the error's own text may show what the line holds
            return BadRow(line=line, problem=f"is no JSON; {_EXAMPLE}")
        if not isinstance(row, dict):
            return BadRow(line=line, problem=f"is no JSON object; {_EXAMPLE}")
        problem = self._problem_of(row)
        if problem is not None:
            return BadRow(line=line, problem=problem)
        label = row.get("label")
        try:
            right = None if label is None else self.answers.read_label(label, self.labels)
        except UnreadableLabel as error:
            return BadRow(line=line, problem=str(error))
        target, body = self._request(row)
        reference = label if self.answers.generating else None
        return GoldenRow(line=line, target=target, body=body, right=right, reference=reference)

    def _problem_of(self, row: dict[str, object]) -> str | None:
        """Return why a row is no request; None if it is one."""
        generating = self.answers.generating
        if generating and "messages" in row:
            messages = row["messages"]
            if not generating.holds_conversations:
                return f"messages is given, and the model holds no conversation, expected inputs; {_EXAMPLE}"
            if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
                return f"messages is no list of messages with role and content; {_CHAT_EXAMPLE}"
        elif not isinstance(row.get("inputs"), str):
            return f"inputs is {_kind(row.get('inputs'))}, expected a text; {_EXAMPLE}"
        elif generating and not isinstance(row.get("parameters", {}), dict | None):
            return f"parameters is {_kind(row['parameters'])}, expected an object; {_PARAMETERS_EXAMPLE}"
        try:
            self._request(row)
        except UnicodeEncodeError:
            return f"{'messages' if 'messages' in row else 'inputs'} is a text with half of a surrogate pair, expected a text; {_EXAMPLE}"
        return None

    def _request(self, row: dict[str, object]) -> tuple[bytes, bytes]:
        """Return target and body. Raises UnicodeEncodeError for half of a surrogate pair."""
        if self.answers.generating:
            return golden_request(row, self.answers.generating)
        return GOLDEN_HF_PATH.encode(), json.dumps({"inputs": row["inputs"]}, ensure_ascii=False).encode()

    def _refusal(self, rows: int, bad_rows: int, sentences: Sequence[str]) -> str:
        if not sentences:
            return f"{self.path}: has no row; {_EXAMPLE}"
        allowed = f"at most {self.max_bad_fraction:g} of them are allowed (golden.maxBadFraction)"
        return f"{self.path}: {bad_rows} of {rows + bad_rows} rows cannot be used, {allowed}; {sentences[0]}"


def named(digest: hashlib._Hash) -> str:
    """Return a digest as contracts write it."""
    return f"sha256:{digest.hexdigest()}"


def _pieces(file: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield lines, a line that is too long as several pieces; and whether a piece goes on with the line of the one before."""
    goes_on = False
    while piece := file.readline(MOST_LINE_BYTES + 1):
        yield piece, goes_on
        goes_on = not piece.endswith(b"\n")


def _is_message(given: object) -> bool:
    return isinstance(given, dict) and isinstance(given.get("role"), str) and isinstance(given.get("content"), str)


def _kind(value: object) -> str:
    """Return what a value is without showing it."""
    if value is None:
        return "missing"
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]
