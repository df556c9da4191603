"""Which error of a rehearsal fails the job, with which class, and which lets it go on."""

from __future__ import annotations

import errno

import pytest

from tuneloop_trainer.errors import (
    ConfigError,
    ModelAccessError,
    NonFiniteLossError,
    Preempted,
    StageError,
    StorageError,
    UserCodeError,
)
from tuneloop_trainer.rehearsal.faults import part
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed


def end_of(error: Exception, *, gpu: bool = False) -> Exception:
    with pytest.raises((StageError, NotRehearsed)) as raised, part("in training", gpu=gpu):
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConfigError("spec.a: is b"), ConfigError, "spec.a: is b"),
        (ModelAccessError("no weights"), ModelAccessError, "no weights"),
        (StageError("not what was trained"), UserCodeError, "not what was trained"),
        (NonFiniteLossError("the loss is nan"), UserCodeError, "the loss is nan"),
        (ValueError("wrong shape\nand more"), UserCodeError, "ValueError: wrong shape (test_faults.py, line "),
        (IndexError("index out of range"), UserCodeError, "IndexError: index out of range (test_faults.py, line "),
        (RuntimeError("odd"), UserCodeError, "RuntimeError: odd (test_faults.py, line "),
    ],
)
def test_what_the_job_would_meet_again_fails_it_and_names_the_part(
    error: Exception, kind: type[StageError], message: str
) -> None:
    found = end_of(error)
    assert type(found) is kind
    assert isinstance(found, StageError)
    assert found.message.startswith(f"the rehearsal failed in training: {message}")
    assert "preflight.rehearsal: false" in str(found.hint)


@pytest.mark.parametrize(
    "error",
    [
        NotRehearsed("it took longer than 120 s"),
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
        StorageError("a file is damaged"),
        ConnectionError("reset"),
    ],
)
def test_faults_of_the_machine_let_the_job_go_on(error: Exception) -> None:
    assert isinstance(end_of(error), NotRehearsed)


def test_a_signal_to_stop_is_no_fault() -> None:
    stopped = Preempted("stopped by SIGTERM")
    assert end_of(stopped) is stopped


def test_an_error_of_torch_on_the_cpu_says_nothing_of_a_job_on_gpus() -> None:
    assert isinstance(end_of(RuntimeError("no kernel for this"), gpu=True), NotRehearsed)
    assert isinstance(end_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), gpu=True), UserCodeError)
