"""A port of its own for probes and metrics: what clients do to the model's port keeps no probe and no Prometheus out."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from free_ports import free_port
from raw_http import SECONDS, connect, exchange, is_open, many_open, read_all
from server_process import DEADLINE, Server, configuration, run_to_its_end, running_fork
from waiting import until

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.metrics_port import METRICS_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.contract.server_config import ServerConfig

HALF = b"GET /readyz HTTP/1.1\r\nHost:"
FEW_FILES = 150
PLACES = FEW_FILES - 100 - METRICS_LIMITS.connections
"""Connections to the model's port of a server that may open so few files."""
MANY_TEXTS, ENOUGH_TEXTS = {"inputs": ["a good film"] * 64}, {"inputs": ["a good film"] * 40}
HELD = {"max_batch_size": 64, "max_delay_milliseconds": 60_000}
"""After a request with many texts, requests with one text wait until half as many have come: the server holds them, and the machine is idle."""


@dataclass
class TwoPorts:
    server: Server
    config: ServerConfig

    @property
    def port(self) -> int:
        return self.config.port

    @property
    def metrics_port(self) -> int:
        assert self.config.metrics_port is not None
        return self.config.metrics_port

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask the second port, on a new connection."""
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=SECONDS, headers=headers)

    def answered_on_the_model_port(self) -> int:
        """Return the status of a probe there; 0: the connection was closed."""
        return exchange(self.port, b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % self.port)[0]


@contextmanager
def serving(artifact: Path, folder: Path) -> Iterator[TwoPorts]:
    """A server with both ports, and few connections."""
    config = configuration(artifact, metrics_port=free_port(), batching=HELD)
    with running_fork(config, folder, files=FEW_FILES) as server:
        yield TwoPorts(server, config)


@pytest.fixture(scope="module")
def ports(artifact, tmp_path_factory) -> Iterator[TwoPorts]:
    with serving(artifact.folder, tmp_path_factory.mktemp("ports")) as ports:
        yield ports


@contextmanager
def held_requests(ports: TwoPorts, count: int) -> Iterator[list[socket.socket]]:
    """Requests which the server has read, and answers once there is one with enough texts."""
    assert ports.server.ask(MANY_TEXTS).status_code == 200
    with many_open(ports.port, count, first=post(ports.port, {"inputs": "a good film"})) as opened:
        until_in_flight(ports, count)
        yield opened


def post(port: int, document: object) -> bytes:
    content = json.dumps(document).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + content


def until_in_flight(ports: TwoPorts, count: int) -> None:
    until(lambda: metric(ports, "tuneloop_inflight_requests") == count, seconds=SECONDS, what=f"{count} in flight")


def until_refused(port: int) -> None:
    """Return once nobody listens any more."""

    def is_refused() -> bool:
        try:
            connect(port).close()
        except ConnectionRefusedError:
            return True
        return False

    until(is_refused, seconds=SECONDS, what=f"the end of port {port}")


def metric(ports: TwoPorts, name: str) -> float:
    (line,) = [line for line in ports.get("/metrics").text.splitlines() if line.startswith(f"{name}{{")]
    return float(line.rpartition(" ")[2])


def statuses(opened: list[socket.socket]) -> set[bytes]:
    return {read_all(connection).split(b" ", 2)[1] for connection in opened}


def test_half_open_connections_to_the_model_keep_no_probe_and_no_prometheus_out(ports):
    with many_open(ports.port, 400, first=HALF) as opened:
        found = [(path, ports.get(path).status_code) for path in ("/readyz", "/metrics", "/healthz") * 3]
        assert len(opened) > 300
    assert {status for _, status in found} == {200}


def test_a_full_port_of_the_model_closes_a_probe_that_the_second_port_answers(ports):
    with held_requests(ports, PLACES) as held:
        assert ports.answered_on_the_model_port() == 0
        assert [ports.get(path).status_code for path in ("/readyz", "/healthz", "/metrics")] == [200] * 3
        assert all(map(is_open, held))
    assert ports.server.ask(ENOUGH_TEXTS).status_code == 200
    until_in_flight(ports, 0)


def test_while_the_last_requests_are_answered_the_second_port_says_that_the_server_is_not_ready(artifact, tmp_path):
    with serving(artifact.folder, tmp_path) as ports, held_requests(ports, 3) as held:
        last = post(ports.port, ENOUGH_TEXTS)
        with many_open(ports.port, 1, first=last[:-1]) as [half_sent]:
            until_in_flight(ports, 4)
            ports.server.process.terminate()
            until_refused(ports.port)
            ready = ports.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"error": "the server is being stopped"})
            assert (metric(ports, "tuneloop_draining"), metric(ports, "tuneloop_inflight_requests")) == (1, 4)
            half_sent.sendall(last[-1:])
            assert statuses([*held, half_sent]) == {b"200"}
        assert ports.server.process.wait(timeout=DEADLINE) == 0
        assert "Traceback" not in ports.server.log.read_text()


def test_the_second_port_has_few_connections_and_the_newest_gets_in(ports):
    with many_open(ports.metrics_port, 3 * METRICS_LIMITS.connections, first=HALF) as opened:
        assert ports.get("/readyz").status_code == 200
        assert ports.get("/metrics").status_code == 200
        assert sum(map(is_open, opened)) <= METRICS_LIMITS.connections


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param(b"GET /readyz HTTP/1.1\r\nx: " + b"a" * 9000, 431, id="a long header"),
        pytest.param(b"GET /readyz HTTP/1.1" + b"\r\nx: a" * 60, 431, id="many headers"),
        pytest.param(b"GET /readyz?" + b"a" * 2000 + b" HTTP/1.1", 414, id="a long address"),
    ],
)
def test_the_second_port_takes_small_headers_only(ports, line, status):
    assert exchange(ports.metrics_port, line, b"\r\nHost: 127.0.0.1:%d\r\n\r\n" % ports.metrics_port)[0] == status


@pytest.mark.parametrize(
    ("path", "on_the_model_port", "on_the_second_port"),
    [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/metrics", 404, 200),
        ("/info", 200, 404),
        ("/predict", 405, 404),
    ],
)
def test_each_page_is_where_its_reader_is(ports, path, on_the_model_port, on_the_second_port):
    assert (ports.server.client.get(path).status_code, ports.get(path).status_code) == (
        on_the_model_port,
        on_the_second_port,
    )


def test_a_wrong_page_says_which_pages_there_are(ports):
    assert ports.get("/").json() == {"error": "there is no such page; there are: GET /healthz, /readyz, /metrics"}
    listed = ports.server.client.get("/metrics").json()["error"]
    assert listed.startswith("there is no such page; there are: POST /, /predict, ")
    assert listed.endswith(", /healthz, /readyz, /info")


def test_a_page_in_a_browser_reads_no_metrics_on_loopback(ports):
    assert ports.get("/metrics", host="evil.example").status_code == 403


def test_a_second_port_in_use_ends_the_server_with_one_line(artifact, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, log = run_to_its_end(configuration(artifact.folder, metrics_port=port), tmp_path)
    assert code == ExitCode.CONFIG
    assert log.splitlines() == [
        f"tuneloop-server: cannot listen on 127.0.0.1 port {port} (Address already in use); stop what uses the port, or choose another"
    ]
