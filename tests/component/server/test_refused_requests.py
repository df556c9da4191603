"""Headers and URLs of a real server have limits, in bytes and in number, before anything else is looked at."""

from __future__ import annotations

import pytest
from raw_http import exchange

HOST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
KIB = 1024


@pytest.fixture
def port(server) -> int:
    return int(server.url.rpartition(":")[2])


def get(port: int, *headers: bytes) -> tuple[int, str]:
    return exchange(port, HOST % port, *headers, b"\r\n")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([b"x: " + b"a" * 33 * KIB + b"\r\n"], id="one header of 33 KiB"),
        pytest.param([b"x: " + b"a" * 4 * KIB + b"\r\n"] * 9, id="nine headers of 4 KiB"),
        pytest.param([b"x: " + b"a" * 200 * KIB], id="a header without an end"),
        pytest.param([b"a" * 200 * KIB], id="a name without an end"),
        pytest.param([b"x: 1\r\n"] * 101, id="a hundred and one headers"),
    ],
)
def test_too_long_headers_are_refused(port, headers):
    status, text = get(port, *headers)
    assert (status, text) == (431, '{"error": "the headers have more than 32768 bytes, or are more than 100"}')


def test_headers_of_almost_the_limit_are_read(port):
    assert get(port, *[b"x: " + b"a" * 1000 + b"\r\n"] * 30)[0] == 200


@pytest.mark.parametrize("more", [b"", b"\r\n\r\n"])
def test_a_long_url_is_refused(port, more):
    status, text = exchange(port, b"GET /" + b"a" * 8 * KIB, b" HTTP/1.1" + more if more else b"a" * 400 * KIB)
    assert (status, text) == (414, '{"error": "the URL has more than 8192 bytes"}')


def test_a_url_of_almost_the_limit_is_read(port):
    assert (
        exchange(port, b"GET /healthz?" + b"a" * 8000, b" HTTP/1.1\r\n", HOST.split(b"\r\n", 1)[1] % port, b"\r\n")[0]
        == 200
    )


def test_trailers_are_limited_as_headers_are(port):
    start = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n" % port
    body = b"Content-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n"
    assert exchange(port, start, body, b"x: " + b"a" * 300 * KIB)[0] == 431


def test_large_bodies_and_requests_in_a_row_are_no_headers(server):
    for _ in range(3):
        assert server.ask({"inputs": "film " * 100_000}).status_code == 200


def test_a_page_of_another_name_does_not_reach_a_server_on_loopback(server):
    response = server.client.post("/predict", content=b'{"inputs": "a"}', headers={"host": "evil.example"})
    assert response.status_code == 403
    assert "serves this machine only" in response.json()["error"]


def test_a_form_of_a_page_is_refused_by_a_server_on_loopback(server):
    response = server.client.post("/predict", content=b'{"inputs": "a"}', headers={"content-type": "text/plain"})
    assert response.status_code == 415
    assert "takes application/json only" in response.json()["error"]
