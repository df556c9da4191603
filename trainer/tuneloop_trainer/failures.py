"""From whatever a stage raised to a failure that a person can read and the operator can act on."""

from __future__ import annotations

import errno
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE, ExitCode
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_trainer.errors import StageError

if TYPE_CHECKING:
    from tuneloop_api.contract.results import TrainSummary

_STORAGE_ERRORS = {
    errno.ENOSPC: "make room on the volume, or give the claim more",
    errno.EDQUOT: "the volume's quota is used up: make room, or raise it",
    errno.EROFS: "the volume is mounted read-only: the job needs a claim that it may write to",
    errno.EIO: "the volume has a fault: see the storage's own log",
    errno.ESTALE: "the network volume was lost: see the storage's own log",
    errno.EACCES: "the folder belongs to another user: set fsGroup, or give the job a folder of its own",
    errno.EPERM: "the folder belongs to another user: set fsGroup, or give the job a folder of its own",
}
_OS_ERROR_IN_TEXT = re.compile(r"os error (\d+)")
"""How libraries in Rust (safetensors, tokenizers) pass on an errno."""
_COLLECTIVE = {"DistBackendError", "DistNetworkError", "DistStoreError", "DistError"}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a stage ended."""

    exit_code: ExitCode
    message: str
    hint: str | None = None
    traceback: tuple[str, ...] = ()
    """Lines of the traceback, where nobody thought of this end, so that they are worth reading."""
    train: TrainSummary | None = None
    """How far training had come."""
    step: int | None = None
    """The step that failed, counted from 1, where it was a step."""

    @property
    def failure_class(self) -> FailureClass:
        """The class that the exit code stands for."""
        return CLASS_OF_EXIT_CODE.get(self.exit_code, FailureClass.UNKNOWN)


def failure_of(error: BaseException) -> Failure:
    """Say what an exception means; what is not known has class Unknown and the exception's own last line."""
    if isinstance(error, StageError):
        return Failure(
            exit_code=error.exit_code, message=error.message, hint=error.hint, train=error.train, step=error.step
        )
    known = _out_of_memory(error) or _storage(error) or _collective(error)
    return known or Failure(exit_code=ExitCode.UNKNOWN, message=_last_line(error), traceback=_traceback(error))


def errno_of(error: BaseException) -> int | None:
    """Return the system's error number behind an exception, also where a library in Rust only wrote it into its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR_IN_TEXT.search(str(error))
    return int(found.group(1)) if found else None


def _out_of_memory(error: BaseException) -> Failure | None:
    name, text = type(error).__name__, str(error)
    if name == "OutOfMemoryError" or "CUDA out of memory" in text:  # torch is not imported only to name its error
        return Failure(
            exit_code=ExitCode.OUT_OF_MEMORY_GPU,
            message=f"the GPU has no memory left: {_first_line(text)}",
            hint="set training.microBatchSize or data.maxTokens lower, or deepspeed.stage higher",
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return Failure(
            exit_code=ExitCode.OUT_OF_MEMORY_HOST,
            message=f"the machine has no memory left{': ' + _first_line(text) if text else ''}",
            hint="give the stage more memory (resources.memory, resources.prepare.memory, resources.export.memory)",
        )
    return None


def _storage(error: BaseException) -> Failure | None:
    code = errno_of(error)
    if code not in _STORAGE_ERRORS:
        return None
    file = error.filename if isinstance(error, OSError) else None
    where = f"{file}: " if isinstance(file, str) else ""
    return Failure(
        exit_code=ExitCode.STORAGE,
        message=f"{where}cannot be read or written: {errno.errorcode[code]}, {_first_line(str(error))}",
        hint=_STORAGE_ERRORS[code],
    )


def _collective(error: BaseException) -> Failure | None:
    if type(error).__name__ not in _COLLECTIVE:
        return None
    return Failure(exit_code=ExitCode.COLLECTIVE, message=f"a peer was lost: {_first_line(str(error))}")


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _traceback(error: BaseException) -> tuple[str, ...]:
    return tuple("".join(traceback.format_exception(error)).splitlines())


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
