"""The client of the API server: a request never goes out on a connection that the server may have closed meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cluster import api_client


class Connection:
    """Counts how often it is opened: after `close`, the next request does so."""

    def __init__(self):
        self.is_open, self.opened = False, 0

    def request(self, *_, **__):
        self.opened += not self.is_open
        self.is_open = True

    def getresponse(self):
        headers = SimpleNamespace(get_content_type=lambda: "text/plain")
        return SimpleNamespace(read=lambda: b"ok", headers=headers, status=200)

    def close(self):
        self.is_open = False


@pytest.mark.parametrize(
    ("idle_seconds", "opened"),
    [
        pytest.param(30, 1, id="in use: kept"),
        pytest.param(89, 2, id="about to be closed by the server: a new one"),
    ],
)
def test_a_connection_is_used_again_only_while_it_is_fresh(monkeypatch, idle_seconds, opened):
    now = [1000.0]
    monkeypatch.setattr(api_client.time, "monotonic", lambda: now[0])
    client = api_client.ApiClient.__new__(api_client.ApiClient)
    client._connection, client._used_at = Connection(), now[0]
    client.request("GET", "/readyz")
    now[0] += idle_seconds
    assert client.request("GET", "/readyz") == (200, "ok")
    assert client._connection.opened == opened
