"""Raw JSON requests to the API server with a client certificate, over one kept-alive connection. For tests; one thread at a time."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_IDLE_SECONDS = 60.0
"""The longest idle time of a connection that is used again. The API server closes idle connections after 90 s; a request sent at that moment is lost."""


class Reply(NamedTuple):
    """The response of the API server."""

    status: int
    body: Any
    """The decoded JSON, or the text of a response that is not JSON (`/readyz`)."""


class ApiClient:
    """A client of one API server for one user."""

    def __init__(self, *, server_url: str, authority: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certfile=str(certificate), keyfile=str(key))
        address = urlsplit(server_url)
        self._connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, context=context, timeout=30
        )
        self._used_at = time.monotonic()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Send one request and return (status, decoded response). An HTTP error status is returned, not raised.

        `body` is sent as JSON; bytes and text are sent as they are (YAML, or JSON with duplicate keys). For a patch, `content_type` is
        `application/merge-patch+json`, `application/apply-patch+yaml` (server-side apply), and so on.
        Raises OSError or HTTPException when the server cannot be reached.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        payload = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if payload is not None else {})
        encoded = payload.encode() if isinstance(payload, str) else payload
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # the request below opens a new connection
        try:
            answer, text = self._send(method, target, encoded, headers)
        except http.client.RemoteDisconnected:  # the server went away while the connection was idle
            if method != "GET":
                raise
            answer, text = self._send(method, target, encoded, headers)
        self._used_at = time.monotonic()
        is_json = answer.headers.get_content_type() == "application/json"
        return Reply(answer.status, json.loads(text) if is_json else text)

    def _send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, str]:
        try:
            self._connection.request(method, target, body=body, headers=headers)
            answer = self._connection.getresponse()
            return answer, answer.read().decode()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens a new connection
            raise

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
