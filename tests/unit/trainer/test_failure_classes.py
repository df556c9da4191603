"""Which exceptions a restart can mend. `docs/failures.md` has the table."""

from __future__ import annotations

import json

import pytest

from tuneloop_trainer.failures import failure_of

SHAPES = (
    "mat1 and mat2 shapes cannot be multiplied (4x32 and 64x2)",
    "The size of tensor a (4) must match the size of tensor b (5) at non-singleton dimension 1",
    "The expanded size of the tensor (514) must match the existing size (512) at non-singleton dimension 1.",
    "Sizes of tensors must match except in dimension 1. Expected size 2 but got size 3 for tensor number 1 in the list.",
    "shape '[2, 3]' is invalid for input of size 7",
    "mat1 and mat2 must have the same dtype, but got Float and BFloat16",
    "Expected all tensors to be on the same device, but got mat1 is on cpu, different from other tensors on cuda:0",
    "Error(s) in loading state_dict for Bert:\n\tsize mismatch for classifier.weight: copying a param with shape [2]",
)
COMES_AGAIN = [
    ValueError("x"),
    TypeError("x"),
    KeyError("x"),
    IndexError("index out of range in self"),
    AttributeError("x"),
    AssertionError(),
    NameError("x"),
    ZeroDivisionError("x"),
    NotImplementedError("x"),
    RecursionError("x"),
    *map(RuntimeError, SHAPES),
]


class AcceleratorError(RuntimeError):
    """Named as torch's error of a device."""


MAY_PASS = [
    FileNotFoundError(2, "No such file"),
    ConnectionResetError("x"),
    TimeoutError("x"),
    EOFError(),
    ImportError("libcuda.so.1: cannot open shared object file"),
    json.JSONDecodeError("x", "", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
    AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED: shape mismatch"),
    RuntimeError(
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]:4711"
    ),
    RuntimeError("NCCL communicator was aborted on rank 1"),
    RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed."),
    RuntimeError("x"),
    Exception("x"),
    KeyboardInterrupt(),
    SystemExit(1),
]


def of(errors):
    return [pytest.param(error, id=f"{type(error).__name__}: {str(error)[:40]}") for error in errors]


@pytest.mark.parametrize("error", of(COMES_AGAIN))
def test_an_error_of_the_code_is_not_tried_again(error):
    assert failure_of(error).failure_class == "UserCode"
    assert failure_of(error).traceback


@pytest.mark.parametrize("error", of(MAY_PASS))
def test_an_error_that_may_pass_is_tried_again(error):
    assert failure_of(error).failure_class == "Unknown"
    assert failure_of(error).traceback


def raised(action):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  (any)
        action()
    return caught.value


def throw(error: BaseException) -> None:
    raise error


def while_handling():
    try:
        throw(ConnectionResetError("peer"))
    except ConnectionResetError:
        throw(AttributeError("'NoneType' object has no attribute 'value'"))


def translated():
    try:
        throw(RuntimeError("CUDA error: x"))
    except RuntimeError as error:
        raise ValueError("x") from error


def suppressed():
    try:
        throw(ConnectionResetError("an optional service"))
    except ConnectionResetError:
        raise ValueError("x") from None


def twice_ours():
    try:
        throw(KeyError("x"))
    except KeyError as error:
        raise ValueError("x") from error


@pytest.mark.parametrize(
    ("action", "expected"),
    [(while_handling, "Unknown"), (translated, "Unknown"), (suppressed, "UserCode"), (twice_ours, "UserCode")],
)
def test_an_error_that_another_one_led_to_is_judged_by_both(action, expected):
    assert failure_of(raised(action)).failure_class == expected
