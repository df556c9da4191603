"""A unit test is pure: it starts no process and opens no port (`pure_tests`). What does belongs in tests/component."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pure_tests
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_collection_finish() -> None:
    """Take what is imported by now out of the garbage collector's rounds: torch alone has 200,000 objects, and a round walks over all."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter free all of it at its end: torch's bindings complain of what is left."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with pure_tests.held_to_be_pure(item.nodeid) as breaches:
        yield
    _fail_at(breaches)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with pure_tests.held_to_be_pure(item.nodeid) as breaches:
        yield
    _fail_at(breaches)


def _fail_at(breaches: list[str]) -> None:
    """Fail where the code under test has swallowed the error."""
    if breaches:
        pytest.fail(breaches[0], pytrace=False)
