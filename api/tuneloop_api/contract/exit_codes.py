"""How a stage ends: the exit codes of the trainer, and the classes of failure that they stand for.

The codes are those of sysexits(3) where a code fits. 137 and 143 (128 + signal) are the kernel's and the shell's.
"""

from __future__ import annotations

from enum import IntEnum

from tuneloop_api.wire.failure_class import FailureClass


class ExitCode(IntEnum):
    """Exit codes of `prepare`, `train` (every rank, and the supervisor) and `export`."""

    OK = 0
    UNKNOWN = 1
    DATA = 65
    """The data cannot be used: a file, a column, a row, a split."""
    MODEL_ACCESS = 66
    """The model cannot be read: missing, no weights, refused format."""
    USER_CODE = 70
    OUT_OF_MEMORY_GPU = 71
    OUT_OF_MEMORY_HOST = 72
    STORAGE = 74
    """A file cannot be written or read back: no space left, read-only, damaged."""
    HANG = 75
    """No step was made for too long (supervisor)."""
    NON_FINITE_LOSS = 76
    COLLECTIVE = 77
    """A peer was lost, or the process group could not be formed."""
    CONFIG = 78
    """The run configuration cannot work."""
    PREEMPTED = 79
    """Asked to stop: a checkpoint was saved, the next attempt goes on from it."""
    CHECKPOINT_LOST = 80
    """Checkpoints were saved before, and none of them can be found or read any more."""
    PREPARED_DATA_LOST = 81
    """What `prepare` made is gone or damaged: it can be made again."""


CLASS_OF_EXIT_CODE: dict[int, FailureClass] = {
    ExitCode.DATA: FailureClass.DATA,
    ExitCode.MODEL_ACCESS: FailureClass.MODEL_ACCESS,
    ExitCode.USER_CODE: FailureClass.USER_CODE,
    ExitCode.OUT_OF_MEMORY_GPU: FailureClass.OUT_OF_MEMORY_GPU,
    ExitCode.OUT_OF_MEMORY_HOST: FailureClass.OUT_OF_MEMORY_HOST,
    ExitCode.STORAGE: FailureClass.STORAGE,
    ExitCode.HANG: FailureClass.HANG,
    ExitCode.NON_FINITE_LOSS: FailureClass.NON_FINITE_LOSS,
    ExitCode.COLLECTIVE: FailureClass.COLLECTIVE,
    ExitCode.CONFIG: FailureClass.CONFIG,
    ExitCode.PREEMPTED: FailureClass.PREEMPTED,
    ExitCode.CHECKPOINT_LOST: FailureClass.CHECKPOINT_LOST,
    ExitCode.PREPARED_DATA_LOST: FailureClass.PREPARED_DATA_LOST,
}
