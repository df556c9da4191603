"""What holds for the tests of real gangs of ranks."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_each_rank() -> Iterator[None]:
    """Models of a few thousand parameters gain nothing from a second thread, and threads that wait for each other cost most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
