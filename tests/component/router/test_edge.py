"""What a client may ask for, what reaches a model, and what is written down."""

from __future__ import annotations

import asyncio
import json

import pytest
from raw_http import connect, exchange_all, read_all
from router_process import exchange, stream
from waiting import until

FIRST, SECOND = {"x-api-key": "first-key"}, {"authorization": "Bearer second-key"}


def begun(stage, path: bytes = b"/") -> bytes:
    """Return the begin of a request."""
    return b"POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % (path, stage.router.port)


def test_a_stream_is_passed_on_event_by_event(stage):
    stage.publish(stable=100)
    found = asyncio.run(stream(stage.router.url, events=8, gap_ms=150))
    assert found.whole
    assert found.late_seconds[0] < 0.6  # held until its end, the first event would be 1.2 s late


def test_a_stream_without_a_byte_for_too_long_ends_with_an_error_and_a_busy_one_does_not(stage):
    stage.publish(stable=100, limits={"idleSeconds": 1})

    async def both():
        return await asyncio.gather(
            stream(stage.router.url, events=2, gap_ms=1500), stream(stage.router.url, events=15, gap_ms=100)
        )

    quiet, busy = asyncio.run(both())
    assert (quiet.whole, bool(quiet.error), busy.whole) == (False, True, True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413_and_one_at_the_limit_is_not(stage, chunked):
    stage.publish(stable=100, limits={"bodyBytes": 10_000})

    def status(size: int) -> int:
        length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size
        head = begun(stage) + b"connection: close\r\n" + length + b"\r\n\r\n"
        return exchange_all(stage.router.port, [head, body])[0]

    assert (status(10_000), status(10_001)) == (200, 413)


def test_the_limit_of_bodies_changes_without_a_new_listener(stage):
    statuses = []
    for limit in (100, 1000):
        stage.publish(stable=100, limits={"bodyBytes": limit})
        statuses.append(stage.router.send("POST", body=b"x" * 500)[0])
    assert statuses == [413, 200]
    assert stage.router.stat("listener_manager.total_listeners_draining") == 0


@pytest.mark.parametrize("headers", [{"x-a": "a" * 40_000}, {f"x-{n}": "1" for n in range(150)}], ids=["large", "many"])
def test_headers_that_are_too_many_or_too_large_are_431(stage, headers):
    stage.publish(stable=100)
    assert stage.router.send("POST", headers=headers)[0] == 431


def test_a_client_that_does_not_finish_its_request_is_408(stage):
    stage.publish(stable=100)
    head = begun(stage)
    with connect(stage.router.port) as in_headers, connect(stage.router.port) as in_body:
        in_headers.sendall(head)
        in_body.sendall(head + b"content-length: 10\r\n\r\nx")
        answers = [read_all(connection) for connection in (in_headers, in_body)]
    assert [answer.split()[1] for answer in answers] == [b"408", b"408"]


@pytest.mark.parametrize(
    ("path", "header"), [(b"/a%2Fb", b""), (b"/", b"x_a: 1\r\n")], ids=["an escaped slash", "an underscore"]
)
def test_what_servers_read_in_different_ways_is_400(stage, path, header):
    stage.publish(stable=100)
    assert exchange_all(stage.router.port, [begun(stage, path) + header + b"\r\n"])[0] == 400


def test_a_rate_limit_answers_429_and_says_when_to_come_back(stage):
    stage.publish(stable=100, limits={"rateLimit": {"requestsPerSecond": 0.1, "burst": 5}})
    answers = [stage.router.get() for _ in range(8)]
    assert [status for status, *_ in answers] == [200] * 5 + [429] * 3
    assert answers[-1][1]["retry-after"] == "1"


def test_an_api_key_opens_and_nothing_else_does(stage):
    stage.publish(stable=100, limits={"apiKey": True})
    tried = [{}, {"x-api-key": "wrong"}, {"authorization": "Bearer first"}]
    assert [stage.router.get(**headers)[0] for headers in tried] == [401, 401, 401]
    for headers in (FIRST, SECOND):
        assert stage.router.get(**headers)[0] == 200
        assert not headers.keys() & stage.models["stable"].last()["headers"].keys()


def test_a_server_learns_whose_key_it_was_and_nobody_can_name_another_client(stage):
    stage.publish(stable=100, limits={"apiKey": True})
    for headers, client in ((FIRST, "key-1"), (SECOND, "key-2"), (FIRST | {"x-tuneloop-client": "key-2"}, "key-1")):
        assert stage.router.get(**headers)[0] == 200
        assert stage.models["stable"].last()["headers"]["x-tuneloop-client"] == client


def test_without_the_switch_no_key_is_needed(stage):
    stage.publish(stable=100, limits={"apiKey": False})
    assert stage.router.get()[0] == 200


def test_keys_are_rotated_without_a_restart(stage):
    stage.publish(stable=100, limits={"apiKey": True})
    file = stage.folder / "keys"
    before = file.read_text()
    try:
        file.write_text("second-key\nthird-key\n")
        until(lambda: stage.router.get(x_api_key="third-key")[0] == 200, seconds=10, what="the new key opens")
        assert [stage.router.get(**headers)[0] for headers in (FIRST, SECOND)] == [401, 200]
        file.write_text("a key with spaces\n")
        until(lambda: "line 1 is no key" in stage.router.log.read_text(), seconds=10, what="the bad file is noticed")
        assert stage.router.get(**SECOND)[0] == 200
    finally:
        file.write_text(before)
        until(lambda: stage.router.get(**FIRST)[0] == 200, seconds=10, what="the first key opens again")
    assert "third-key" not in stage.router.log.read_text()


def test_a_request_has_an_id_which_is_the_clients_if_it_sent_one(stage):
    stage.publish(stable=100)
    assert stage.router.get()[1]["x-request-id"]
    assert stage.router.get(x_request_id="mine-1")[1]["x-request-id"] == "mine-1"
    assert stage.models["stable"].last()["headers"]["x-request-id"] == "mine-1"


def test_the_answer_names_the_revision_and_a_client_cannot_steer_the_proxy(stage):
    stage.publish(stable=100)
    steering = {"x-tuneloop-revision": "canary", "x-envoy-retry-on": "5xx", "x-envoy-upstream-rq-timeout-ms": "1"}
    assert stage.router.send("GET", "/?delay_ms=20", headers=steering)[1]["x-tuneloop-revision"] == "stable"
    received = stage.models["stable"].last()["headers"]
    assert not received.keys() & steering.keys()


def test_the_access_log_says_who_answered_and_holds_no_query_body_or_key(stage):
    stage.publish(stable=100, limits={"apiKey": True})
    stage.router.send(
        "POST", "/v1/once?token=s3cret-query", body=b"s3cret-body", headers=FIRST | {"x-user": "s3cret-user"}
    )

    def line() -> dict:
        lines = [line for line in stage.router.log.read_text().splitlines() if '"/v1/once"' in line]
        return json.loads(lines[0]) if lines else {}

    found = until(line, seconds=20, what="the line is written")
    assert (found["method"], found["status"], found["revision"], found["bytes_in"]) == ("POST", 200, "stable", 11)
    log = stage.router.log.read_text()
    assert not [secret for secret in ("s3cret", "first-key") if secret in log]


FOREIGN = [
    "rebound.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost.:{port}",
    "127.0.0.1:{port},rebound.example",
    "[::]:{port}",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_on_loopback_a_foreign_host_gets_neither_a_prediction_nor_metrics(stage, host):
    stage.publish(stable=100)
    before = stage.models["stable"].last()["count"]
    for port, path in (
        (stage.router.port, "/"),
        (stage.router.metrics_port, "/metrics"),
        (stage.router.metrics_port, "/readyz"),
    ):
        assert exchange(port, "GET", path, headers={"host": host.format(port=port)})[0] == 403
    assert stage.models["stable"].last()["count"] == before


def test_on_loopback_two_values_of_host_are_refused(stage):
    stage.publish(stable=100)
    twice = begun(stage) + b"host: rebound.example\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    assert exchange_all(stage.router.port, [twice])[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_on_loopback_a_revision_gets_its_own_address_as_host(stage, host):
    stage.publish(stable=100)
    assert stage.router.get(host=host.format(port=stage.router.port))[0] == 200
    stable = stage.models["stable"]
    assert stable.last()["headers"]["host"] == f"127.0.0.1:{stable.port}"


def test_a_health_check_names_the_server_that_it_asks(stage):
    stage.publish(stable=100)
    stable = stage.models["stable"]
    until(lambda: stable.last().get("checked_as") == f"127.0.0.1:{stable.port}", seconds=10, what="a health check")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200), ("GET", "/readyz", 200), ("POST", "/metrics", 404), ("POST", "/readyz", 404), ("GET", "/metrics?format=json", 404),
        ("GET", "/", 404), ("GET", "/stats", 404), ("GET", "/config_dump", 404), ("POST", "/quitquitquit", 404), ("GET", "/metrics/../config_dump", 404),
        ("GET", "//config_dump", 404),
    ],
)  # fmt: skip
def test_the_second_port_has_two_pages(stage, method, path, status):
    assert exchange(stage.router.metrics_port, method, path, headers={})[0] == status
