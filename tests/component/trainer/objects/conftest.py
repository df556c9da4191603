"""Object storage on loopback, and the credentials that open it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from object_server import ObjectServer, running_object_server

from tuneloop_api.objects import storage


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    with running_object_server() as server:
        yield server


@pytest.fixture
def server(running: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """A server without objects, where this process may read; waits between tries are short."""
    running.begin()
    for name, value in running.variables_of_all.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "WAITS_SECONDS", (0.01,) * len(storage.WAITS_SECONDS))
    return running
