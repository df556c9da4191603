"""What the libraries raise for a model that they cannot load, as one sentence with its class and a hint."""

from __future__ import annotations

import errno
import logging
import re
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_server.errors import CannotServe
from tuneloop_server.model import array_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_server.model import Output

_LONGEST_REASON = 300
_NO_MEMORY = re.compile(
    r"can(?:'t|not) allocate memory|not enough memory|out of memory|bad_alloc|bad allocation|failed to allocate"
    r"|failed to map segment",
    re.IGNORECASE,
)
"""Words of torch, safetensors, ONNX Runtime and the dynamic linker, whose errors have no class of their own for it."""
_HINTS = (
    (
        re.compile(r"recognize this architecture|[Uu]nrecognized (?:model|configuration)|model type"),
        "This server's transformers does not know the architecture: set spec.image to a newer server, or train a base model whose code is part of transformers",
    ),
    (
        re.compile(r"tokenizer", re.IGNORECASE),
        "The artifact needs a fast tokenizer (tokenizer.json): `tuneloop plan -f JOB.yaml` checks the one of the base model before training; train from a base model that has one",
    ),
    (
        re.compile(r"finite number"),
        "The weights are damaged though the files are as they were published: look at the metrics and the condition TrainingHealthy of the job, and train again",
    ),
)
_HINT = (
    "The files are as they were published. `tuneloop plan -f JOB.yaml` rehearses how a job's model is exported and loaded; "
    "publish it again with this release, or set spec.image to the server of the release that made it"
)


def cannot_load(what: str, error: Exception) -> CannotServe:
    """Return the error for files that the libraries cannot load. what: the files, as a user names them."""
    logging.getLogger(__name__).debug("loading failed", exc_info=error)
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}".removesuffix(": ")
    if any(map(_is_of_memory, _chain(error))):
        return CannotServe(
            f"{what} cannot be loaded, there is too little memory: {reason}",
            exit_code=ExitCode.OUT_OF_MEMORY_HOST,
            failure_class=ServingFailureClass.OUT_OF_MEMORY,
        )
    return CannotServe(
        f"{what} cannot be loaded: {reason}",
        exit_code=ExitCode.MODEL_ACCESS,
        failure_class=ServingFailureClass.MODEL_LOAD_FAILED,
        hint=next((hint for pattern, hint in _HINTS if pattern.search(reason)), _HINT),
    )


def require_numbers(outputs: Iterable[Output]) -> None:
    """Raise ValueError if what a model makes of a short text is NaN or infinite: it would be for every text."""
    if not all(np.isfinite(array_of(output)).all() for output in outputs):
        raise ValueError("its output for a short text is not a finite number: the weights are damaged")


def _is_of_memory(error: BaseException) -> bool:
    is_named = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return is_named or bool(_NO_MEMORY.search(str(error)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, or while they were handled."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
