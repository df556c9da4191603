"""How a command ends: its exit codes, and the message for a wrong option."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Exit(IntEnum):
    """Exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    """The job failed, or the requested object is not there."""
    BAD_INPUT = 2
    """A manifest, an option or a file cannot be used."""
    IN_USE = 3
    """Another command holds the folder, or the port is taken."""
    DOES_NOT_FIT = 4
    """What was asked for does not fit where a roll-out is."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class TuneloopExit(Exception):  # noqa: N818  (ends the program, not always for an error)
    """Ends the command with a message on stderr and an exit code."""

    def __init__(self, code: Exit, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def require_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise TuneloopExit for a value of an option that is none of its choices."""
    if value not in choices:
        raise TuneloopExit(Exit.BAD_INPUT, f"{option}: {value!r} is not allowed; must be one of {', '.join(choices)}")
