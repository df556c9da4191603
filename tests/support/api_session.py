"""Many requests at a time to the API server, raw JSON in and out, that outlast its restarts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from kubeconfigs import Connection

_AGAIN_SECONDS = 0.2
_CONNECTIONS = 32
_DONE = frozenset({200, 201, 202})
_LATER = frozenset({429, 500, 502, 503, 504})
STRATEGIC = "application/strategic-merge-patch+json"


class RefusedError(Exception):
    """The API server answered what the caller did not expect."""


class WatchExpiredError(Exception):
    """A watch has to begin again, with a list."""


class ApiSession:
    """One user's session; made and used in a running event loop."""

    def __init__(self, connection: Connection) -> None:
        self._server = connection.server_url
        self._session = ClientSession(
            connector=TCPConnector(ssl=connection.tls, limit=_CONNECTIONS),
            headers=connection.headers | {"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=ClientTimeout(total=None, sock_connect=10),
        )

    async def ask(
        self, method: str, path: str, body: Any = None, *, content: str = STRATEGIC, accept: Collection[int] = _DONE
    ) -> tuple[int, Any]:
        """Return status and decoded answer; ask again for as long as the API server is away or overloaded.

        `content` is the type of a patch. Raises RefusedError if the status is not one of `accept`.
        """
        headers = {"Content-Type": content if method == "PATCH" else "application/json"}
        payload = None if body is None else json.dumps(body).encode()
        while True:
            try:
                async with self._session.request(method, self._server + path, data=payload, headers=headers) as reply:
                    status, text = reply.status, await reply.read()
            except (ClientError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if status in accept:
                return status, json.loads(text)
            if status not in _LATER:
                raise RefusedError(f"{method} {path}: {status} {text.decode(errors='replace')[:1000]}")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def watch(self, path: str, *, query: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of one watch until it ends, however it ends. Raises WatchExpiredError on an ERROR event."""
        url = f"{self._server}{path}?{query}&watch=true&allowWatchBookmarks=true&resourceVersion={version}"
        rest = b""
        try:
            async with self._session.get(url) as reply:
                if reply.status != 200:
                    raise WatchExpiredError(str(reply.status))
                async for chunk in reply.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            raise WatchExpiredError(str(event["object"]))
                        yield event
        except (ClientError, OSError):
            await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
