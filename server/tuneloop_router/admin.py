"""Envoy's admin interface, on a unix socket that only this user may open."""

from __future__ import annotations

import http.client
import re
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECONDS = 5.0


@dataclass(frozen=True)
class Admin:
    """Asks Envoy. Every method raises OSError or HTTPException where Envoy does not answer."""

    path: str
    """Of the socket."""

    def post(self, path: str) -> None:
        """Change something."""
        self._request("POST", path)

    def stats(self, names: Iterable[str]) -> dict[str, str]:
        """Return the values of these statistics; one that Envoy has not made yet is missing."""
        return self.matching("|".join(re.escape(name) for name in names))

    def matching(self, pattern: str) -> dict[str, str]:
        """Return the values of all statistics whose whole name matches a regular expression."""
        lines = self._request("GET", f"/stats?filter={quote(f'^({pattern})$')}").splitlines()
        values = (line.partition(": ") for line in lines)
        return {name: value.strip('"') for name, _, value in values}

    def _request(self, method: str, path: str) -> str:
        connection = http.client.HTTPConnection("localhost", timeout=_SECONDS)
        with closing(connection), socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_SECONDS)
            link.connect(self.path)
            connection.sock = link
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        if answer.status != http.client.OK:
            raise OSError(f"Envoy answers {answer.status} to {method} {path}")
        return text
