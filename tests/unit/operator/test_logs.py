"""A line of the operator's log is one line of JSON, whatever a pod or a user has written into its message."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from tuneloop_operator.logs import JsonLines


def line_of(message: str, *, error: Exception | None = None) -> str:
    failed: Any = (type(error), error, None) if error is not None else None
    return JsonLines().format(logging.LogRecord("jobs", logging.WARNING, __file__, 1, "%s", (message,), failed))


@pytest.mark.parametrize("message", ["row \x1b[2J", "\x9b31m", "a\u202eb", 'a\n{"level": "INFO"}', "a\u2028b"])
def test_a_message_is_one_line_that_cannot_steer_a_terminal(message: str) -> None:
    line = line_of(message)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message


def test_letters_beyond_ascii_stay() -> None:
    assert "é 語" in line_of("é 語")


def test_a_traceback_is_in_the_line() -> None:
    line = line_of("failed", error=ValueError("row \x1b]0;title\x07"))
    assert line.isprintable()
    assert "row \x1b]0;title\x07" in json.loads(line)["traceback"]
