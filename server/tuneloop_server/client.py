"""The client of a connection, as a request sees it: a client that leaves takes its requests with it, so that nothing is computed for nobody."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from starlette.requests import Request

_STATE = "client"
"""In `scope["state"]` of a request that came over a `Connection`."""


class Client:
    """Whether a client is still there, and the tasks that compute its answers."""

    def __init__(self) -> None:
        self.left = False
        self._answering: set[asyncio.Task[object]] = set()

    def leave(self) -> None:
        """Cancel the requests whose answers nobody will read."""
        self.left = True
        for task in tuple(self._answering):
            task.cancel()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Be cancelled, in this task, once the client leaves; at once if it has left."""
        task = asyncio.current_task()
        assert task is not None  # ASGI applications run in tasks
        if self.left:
            task.cancel()
        self._answering.add(task)
        try:
            yield
        finally:
            self._answering.discard(task)


def attach(client: Client, state: MutableMapping[str, object]) -> None:
    """Let a request find its client. state: `scope["state"]` of the request."""
    state[_STATE] = client


def client_of(request: Request) -> Client:
    """Return the client of a request; one that never leaves where the server is not ours, as in a test of the application alone."""
    client = request.scope.get("state", {}).get(_STATE)
    return client if isinstance(client, Client) else Client()
