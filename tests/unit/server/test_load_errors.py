"""What libraries raise for a model that they cannot load becomes a class, a sentence and a hint."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.load_errors import cannot_load, require_numbers


def of_memory_while_handling() -> Exception:
    """Return an error that was raised while one of memory was handled."""
    error = ValueError("the file is no model")
    error.__context__ = MemoryError()
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 400 bytes"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        of_memory_while_handling(),
    ],
)  # fmt: skip
def test_no_memory_is_told_from_a_model_that_does_not_load(error: Exception) -> None:
    found = cannot_load("pvc://m/a: model/", error)
    assert (found.failure_class, found.exit_code) == ("OutOfMemory", ExitCode.OUT_OF_MEMORY_HOST)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ValueError("The checkpoint has model type `x9` but Transformers does not recognize this architecture."), "spec.image to a newer server"),
        (ValueError("its tokenizer has no tokenizer.json (fast tokenizer), which is needed"), "needs a fast tokenizer"),
        (ValueError("its output for a short text is not a finite number: the weights are damaged"), "TrainingHealthy"),
        (KeyError("odd"), "tuneloop plan -f JOB.yaml"),
    ],
)  # fmt: skip
def test_the_sentence_has_the_class_and_the_words_of_the_library(error: Exception, hint: str) -> None:
    found = cannot_load("pvc://m/a: model/", error)
    assert (found.failure_class, found.exit_code) == ("ModelLoadFailed", ExitCode.MODEL_ACCESS)
    assert str(found) == f"pvc://m/a: model/ cannot be loaded: {type(error).__name__}: {error}"
    assert hint in found.hint


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_refused_at_the_load(number: float) -> None:
    require_numbers([np.zeros(2, dtype=np.float32)])
    with pytest.raises(ValueError, match="is not a finite number"):
        require_numbers([np.zeros(2, dtype=np.float32), np.array([number], dtype=np.float32)])
