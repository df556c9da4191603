"""What a client can do to a model server's port: endless headers, half requests, large texts, pages of a browser."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import pytest
from good_client import good_client_beside
from raw_http import connect, exchange_all, is_open, many_open, resident_mib

MIB = 2**20


@pytest.fixture
def port(server) -> int:
    return int(server.url.rpartition(":")[2])


def test_endless_headers_are_refused_and_take_no_memory(server, port):
    before = resident_mib(server.process.pid)
    start = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nx: " % port
    for _ in range(4):
        assert exchange_all(port, [start, *[b"a" * MIB] * 8])[0] == 431
        assert exchange_all(port, [b"GET /" + b"a" * MIB, *[b"a" * MIB] * 8])[0] == 414
    assert resident_mib(server.process.pid) - before < 5


@pytest.mark.parametrize(
    "first",
    [b"", b"GET /readyz HTTP/1.1\r\nHost:", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"],
    ids=["nothing is sent", "half a header", "no body"],
)
def test_half_requests_keep_nobody_out(server, port, first):
    before = resident_mib(server.process.pid)
    with many_open(port, 350, first=first):
        for path in ("/readyz", "/metrics", "/healthz"):
            assert httpx.get(server.url + path, timeout=5).status_code == 200
        assert httpx.post(server.url, json={"inputs": "a good film"}, timeout=5).status_code == 200
        assert resident_mib(server.process.pid) - before < 20


def test_half_requests_end(port):
    with many_open(port, 50, first=b"GET /readyz HTTP/1.1\r\nHost:") as opened:
        assert all(map(is_open, opened))
        time.sleep(12)
        assert not any(map(is_open, opened))


def test_requests_that_are_sent_ahead_take_no_memory(server, port):
    before = resident_mib(server.process.pid)
    many = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port * 20_000  # 13 MiB took 568 MiB
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(connect(port))
            with suppress(ConnectionError):
                connection.sendall(many)
            assert resident_mib(server.process.pid) - before < 20


def test_large_texts_take_neither_much_time_nor_memory(server):
    before, stop, most = resident_mib(server.process.pid), threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.02):
            most[0] = max(most[0], resident_mib(server.process.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    text = "a good film " * 73_000
    start = time.monotonic()
    with ThreadPoolExecutor(32) as clients:
        statuses = list(clients.map(lambda _: server.ask({"inputs": text}).status_code, range(32)))
    seconds = time.monotonic() - start
    stop.set()
    watching.join()
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 16
    assert most[0] - before < 150
    assert seconds < 15  # 29 s before texts were cut


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 403), ({"content-type": "text/plain"}, 415), ({}, 200)],
    ids=["a rebound name", "a form", "a program of this machine"],
)
def test_a_page_in_a_browser_cannot_drive_a_server_on_loopback(server, headers, status):
    assert server.client.post("/predict", content=b'{"inputs": "a"}', headers=headers).status_code == status


def request(port: int, *lines: bytes, path: bytes = b"/predict") -> bytes:
    """Return a request up to its body."""
    first = b"POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n" % (path, port)
    return first + b"".join(line + b"\r\n" for line in (*lines, b"connection: close")) + b"\r\n"


def whole(port: int, body: bytes, **options: bytes) -> list[bytes]:
    return [request(port, b"content-length: %d" % len(body), **options), body]


def hostile(port: int) -> dict[str, list[bytes]]:
    """Return requests as the parts that are sent, by what they are."""
    chunk = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    return {
        "100 MB with a length": [request(port, b"content-length: 100000000"), *[b" " * MIB] * 95],
        "100 MB in chunks": [request(port, b"transfer-encoding: chunked"), *[chunk] * 95],
        "10,000 texts": whole(port, b'{"inputs": [%s]}' % b", ".join([b'"a"'] * 10_000)),
        "no UTF-8": whole(port, b'{"inputs": "a \xff\xfe film"}'),
        "half a surrogate pair as UTF-8": whole(port, b'{"inputs": "a \xed\xa0\x80 film"}'),
        "half a surrogate pair as JSON": whole(port, b'{"inputs": "a \\ud800 film"}'),
        "a NUL": whole(port, b'{"inputs": "a \0 film"}'),
        "a NUL as JSON": whole(port, b'{"inputs": "a \\u0000 film"}'),
        "a NUL in the path": whole(port, b"{}", path=b"/pre\0dict"),
    }


def test_hostile_requests_are_refused_beside_a_client_that_is_answered(server, port):
    ahead = b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % port * 16
    with ExitStack() as stack, good_client_beside(port, server.process.pid) as beside:
        for _ in range(30):  # these never read
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            connection.sendall(ahead)
        statuses = {what: {exchange_all(port, parts)[0] for _ in range(3)} for what, parts in hostile(port).items()}
    assert statuses == {
        "100 MB with a length": {413},
        "100 MB in chunks": {413},
        "10,000 texts": {422},
        "no UTF-8": {400},
        "half a surrogate pair as UTF-8": {422},
        "half a surrogate pair as JSON": {422},
        "a NUL": {400},
        "a NUL as JSON": {200},
        "a NUL in the path": {400},
    }
    assert beside.taken_mib < 20
    assert set(beside.statuses) == {200}
