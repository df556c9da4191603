"""Translates an exception of a stage into a failure: a message for people, and a class for the operator."""

from __future__ import annotations

import errno
import json
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
"""An errno in the message of a library in Rust (safetensors, tokenizers)."""
_COLLECTIVE = {"DistBackendError", "DistNetworkError", "DistStoreError", "DistError"}
_MAY_PASS = (OSError, EOFError, ImportError, json.JSONDecodeError, UnicodeError)
"""Errors of what lies outside the program: files, networks, other processes, a node without a driver. Some are ValueErrors, too."""
_SAME_AT_EACH_TRY = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    NameError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
)
"""Errors of code and of what the code was given. Training is deterministic: the next attempt would come to the same place."""
_OF_SHAPES = re.compile(
    r"shapes? cannot be multiplied|size mismatch|The (expanded )?size of (the )?tensor|Sizes of tensors must match|is invalid for input of size"
    r"|Dimension out of range|size of tensor .* must match|same dtype|same device|Expected (target|input|tensor)\b|shape mismatch"
)
"""RuntimeErrors of torch about the tensors that it was given."""
_OF_DEVICES = re.compile(r"CUDA|NCCL|cuDNN|cuBLAS|CUDNN|CUBLAS|gloo|HIP error")
"""RuntimeErrors of torch about devices and peers. The case matters: the device name `cuda:0` stands in errors about tensors, too."""


@dataclass(frozen=True, kw_only=True)
class StageFailure:
    """Why a stage ended."""

    exit_code: ExitCode
    message: str
    hint: str | None = None
    traceback: tuple[str, ...] = ()
    """Lines of the traceback of an exception that is no StageError and no known fault of the machine."""
    train: TrainSummary | None = None
    """A summary of the training, if training ended."""
    step: int | None = None
    """The step that failed, counted from 1; None if no step failed."""

    @property
    def failure_class(self) -> FailureClass:
        """The class that the exit code stands for."""
        return CLASS_OF_EXIT_CODE.get(self.exit_code, FailureClass.UNKNOWN)


def failure_of(error: BaseException) -> StageFailure:
    """Return the failure that an exception stands for.

    Lack of memory or space and lost peers are found by the exception's type or text. Of the rest, an exception that would come again at
    each try is UserCode, which is not retried; any other is Unknown. Both have the last line of the traceback as message.
    """
    if isinstance(error, StageError):
        return StageFailure(
            exit_code=error.exit_code, message=error.message, hint=error.hint, train=error.train, step=error.step
        )
    known = _out_of_memory(error) or _storage(error) or _collective(error)
    code = ExitCode.USER_CODE if is_same_at_each_try(error) else ExitCode.UNKNOWN
    return known or StageFailure(exit_code=code, message=_last_line(error), traceback=_traceback(error))


def is_same_at_each_try(error: BaseException) -> bool:
    """Whether the next attempt would raise the exception again: its cause is the code or the data, and nothing outside of them.

    An exception may follow from another one (`raise … from`, or raised while the other was handled). Then both must be of this kind: a
    TypeError after a lost connection does not show that the code is wrong.
    """
    led_to = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if led_to is not None and not is_same_at_each_try(led_to):
        return False
    if isinstance(error, _MAY_PASS):
        return False
    if type(error) is RuntimeError:
        return bool(_OF_SHAPES.search(str(error))) and not _OF_DEVICES.search(str(error))
    return isinstance(error, _SAME_AT_EACH_TRY)


def errno_of(error: BaseException) -> int | None:
    """Return the errno behind an exception, also where a library in Rust has only written it into the message."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR_IN_TEXT.search(str(error))
    return int(found.group(1)) if found else None


def _out_of_memory(error: BaseException) -> StageFailure | None:
    name, text = type(error).__name__, str(error)
    if (
        name == "OutOfMemoryError" or "CUDA out of memory" in text
    ):  # importing torch only for the class would take seconds
        return StageFailure(
            exit_code=ExitCode.OUT_OF_MEMORY_GPU,
            message=f"the GPU has no memory left: {_first_line(text)}",
            hint="set training.microBatchSize or data.maxTokens lower, or deepspeed.stage higher",
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return StageFailure(
            exit_code=ExitCode.OUT_OF_MEMORY_HOST,
            message=f"the machine has no memory left{': ' + _first_line(text) if text else ''}",
            hint="give the stage more memory (resources.memory, resources.prepare.memory, resources.export.memory)",
        )
    return None


def _storage(error: BaseException) -> StageFailure | None:
    code = errno_of(error)
    if code not in _STORAGE_ERRORS:
        return None
    file = error.filename if isinstance(error, OSError) else None
    where = f"{file}: " if isinstance(file, str) else ""
    return StageFailure(
        exit_code=ExitCode.STORAGE,
        message=f"{where}cannot be read or written: {errno.errorcode[code]}, {_first_line(str(error))}",
        hint=_STORAGE_ERRORS[code],
    )


def _collective(error: BaseException) -> StageFailure | None:
    if type(error).__name__ not in _COLLECTIVE:
        return None
    return StageFailure(exit_code=ExitCode.COLLECTIVE, message=f"a peer was lost: {_first_line(str(error))}")


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; the name of its class, where the message is empty."""
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _traceback(error: BaseException) -> tuple[str, ...]:
    return tuple("".join(traceback.format_exception(error)).splitlines())


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
