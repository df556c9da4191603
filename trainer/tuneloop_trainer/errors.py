"""The trainer's errors. Each has the exit code and the failure class that the operator acts on.

StageError
├── DataError            the data cannot be used: a file, a column, a row, a split
├── ModelAccessError     the model cannot be read: missing, no weights, refused format
├── ConfigError          the run configuration cannot work
├── UserCodeError        the code of a model fails, or does not do what its task needs
├── StorageError         a file cannot be written or read back
│   ├── SaveFailedError        a checkpoint was not saved; earlier checkpoints are intact
│   └── PreparedDataLostError  the output of prepare is gone or damaged; prepare can run again
├── CheckpointLostError  checkpoints were saved before, and none can be found or read any more
├── NonFiniteLossError   the loss became NaN or infinite, or rose and stayed there
├── CollectiveError      a peer was lost, or the process group could not be formed
└── Preempted            asked to stop, and a checkpoint was saved
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE, ExitCode
from tuneloop_api.wire.failure_class import FailureClass

if TYPE_CHECKING:
    from tuneloop_api.contract.results import TrainSummary


class StageError(Exception):
    """A stage cannot go on, for a reason that a user can understand.

    `message` names the place (field path, or file and row), what was found there, and what is allowed; `hint` says what to do.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNKNOWN

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.train: TrainSummary | None = None
        """A summary of the training, if training ended."""
        self.step: int | None = None
        """The step that failed, counted from 1; None if no step failed."""

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


class UserCodeError(StageError):
    """The code of a model fails, or does not do what its task needs."""

    exit_code = ExitCode.USER_CODE


class StorageError(StageError):
    """A file cannot be written or read back."""

    exit_code = ExitCode.STORAGE


class SaveFailedError(StorageError):
    """A checkpoint was not saved. The earlier checkpoints are intact, and the next save may succeed."""


class PreparedDataLostError(StorageError):
    """The output of `prepare` is gone or damaged; `prepare` can run again."""

    exit_code = ExitCode.PREPARED_DATA_LOST


class CheckpointLostError(StageError):
    """Checkpoints were saved before, and none of them can be found or read any more."""

    exit_code = ExitCode.CHECKPOINT_LOST


class NonFiniteLossError(StageError):
    """The loss became NaN or infinite, or rose and stayed there. step: the step at which it did, counted from 1."""

    exit_code = ExitCode.NON_FINITE_LOSS

    def __init__(self, message: str, *, hint: str | None = None, step: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step


class CollectiveError(StageError):
    """A peer was lost, or the process group could not be formed."""

    exit_code = ExitCode.COLLECTIVE


class Preempted(StageError):  # noqa: N818  (a state, not a fault)
    """Asked to stop, and a checkpoint was saved."""

    exit_code = ExitCode.PREEMPTED
