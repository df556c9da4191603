"""Names the part of a rehearsal in which something failed, and decides whether the job would fail there, too."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import (
    ConfigError,
    DataError,
    ModelAccessError,
    Preempted,
    StageError,
    StorageError,
    UserCodeError,
)
from tuneloop_trainer.failures import failure_of, first_line, is_same_at_each_try
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_RETRIED = (ConfigError, DataError, ModelAccessError, UserCodeError)
_SKIP = "preflight.rehearsal: false lets the job go on without this check"


@contextmanager
def part(name: str, *, gpu: bool, proven: bool = True) -> Iterator[None]:
    """Run a part of the rehearsal. name: as in "the rehearsal failed NAME". gpu: whether the job trains on another device than the rehearsal.

    proven: whether the model's code is known to run at the sizes of this model; else its errors say nothing of the job.

    Whatever the job would meet again in training or export is raised as an error that is not retried. Faults of this machine (memory, files, time)
    raise NotRehearsed.
    """
    try:
        yield
    except (NotRehearsed, Preempted):
        raise
    except _NOT_RETRIED as error:
        raise type(error)(f"the rehearsal failed {name}: {error.message}", hint=_with_skip(error.hint)) from error
    except StorageError as error:
        raise NotRehearsed(f"{name}: {error.message}") from error
    except StageError as error:
        raise UserCodeError(f"the rehearsal failed {name}: {error.message}", hint=_with_skip(error.hint)) from error
    except Exception as error:
        if not (proven and _comes_again(error, gpu=gpu)):
            raise NotRehearsed(f"{name}: {failure_of(error).message}") from error
        what = f"{type(error).__name__}: {first_line(error)} ({_place(error)})"
        hint = f"the job would fail in the same way {name}: use another model or method, or mend the model's files"
        raise UserCodeError(f"the rehearsal failed {name}: {what}", hint=_with_skip(hint)) from error


def _comes_again(error: Exception, *, gpu: bool) -> bool:
    """Whether the job would meet the error, too. A RuntimeError of torch may come from the CPU, where the job has a GPU."""
    if is_same_at_each_try(error):
        return True
    is_of_machine = failure_of(error).failure_class != "Unknown"
    return type(error) is RuntimeError and not gpu and not is_of_machine


def _place(error: Exception) -> str:
    """Return the place in the code that raised an exception, without the folders above; torch's own code is passed over."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if "torch" not in Path(frame.filename).parts), frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _with_skip(hint: str | None) -> str:
    return f"{hint}; {_SKIP}" if hint else _SKIP
