"""The trainer's errors: each knows the exit code and the class of failure that the operator acts on.

StageError
├── DataError            the data cannot be used: a file, a column, a row, a split
├── ModelAccessError     the model cannot be read: missing, no weights, refused format
├── ConfigError          the run configuration cannot work
├── StorageError         a file cannot be written or read back
├── NonFiniteLossError   the loss became NaN or infinite
├── CollectiveError      a peer was lost, or the process group could not be formed
└── Preempted            asked to stop, and a checkpoint was saved
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tuneloop_api.exit_codes import CLASS_OF_EXIT_CODE, ExitCode, FailureClass

if TYPE_CHECKING:
    from tuneloop_api.results import TrainSummary


class StageError(Exception):
    """A stage cannot go on, for a reason that a user can read.

    `message` says what was found and where (field path, or file and row) and what is allowed; `hint` says what to do.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNKNOWN

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.train: TrainSummary | None = None
        """How far training had come, where it was training that ended."""

    @property
    def failure_class(self) -> FailureClass:
        """The class that the exit code stands for."""
        return CLASS_OF_EXIT_CODE.get(self.exit_code, FailureClass.UNKNOWN)


class DataError(StageError):
    """The data cannot be used."""

    exit_code = ExitCode.DATA


class ModelAccessError(StageError):
    """The model cannot be read."""

    exit_code = ExitCode.MODEL_ACCESS


class ConfigError(StageError):
    """The run configuration cannot work."""

    exit_code = ExitCode.CONFIG


class StorageError(StageError):
    """A file cannot be written or read back."""

    exit_code = ExitCode.STORAGE


class NonFiniteLossError(StageError):
    """The loss became NaN or infinite."""

    exit_code = ExitCode.NON_FINITE_LOSS


class CollectiveError(StageError):
    """A peer was lost, or the process group could not be formed."""

    exit_code = ExitCode.COLLECTIVE


class Preempted(StageError):  # noqa: N818  (a state, not a fault)
    """Asked to stop, and a checkpoint was saved."""

    exit_code = ExitCode.PREEMPTED
