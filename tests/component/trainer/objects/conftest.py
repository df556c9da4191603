"""Object storage on loopback, and the credentials that open it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from object_server import ACCOUNT, ObjectServer, running_object_server

from tuneloop_trainer.objects import storage

NO_OAUTH = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
"""A key of Google with which a client signs nothing, as the emulators of that storage want it."""


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectServer]:
    with running_object_server() as server:
        yield server


@pytest.fixture
def server(running: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """A server without objects, where this process may read; waits between tries are short."""
    running.begin()
    for name, value in running.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOOGLE_BASE_URL", running.url)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(NO_OAUTH))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Y2FuYXJ5LW9mLWF6dXJl")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{running.url}/{ACCOUNT}")
    monkeypatch.setattr(storage, "WAITS_SECONDS", (0.01,) * len(storage.WAITS_SECONDS))
    return running
