"""What clients can do to a router: hold its memory by bodies and by answers that nobody reads, and send what is no HTTP. A good client asks beside each attack.

The limit is that of the pod as the operator renders it. Envoy stays below it by `MARGIN_MIB`, which is for the router's own program and its files in memory.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from good_client import Beside, good_client_beside
from http2_uploads import Uploads
from model_backends import backends
from raw_http import SECONDS, exchange, exchange_all, many_open
from required import skip_or_fail
from router_process import Router, running, settings_file
from waiting import until

from tuneloop_api.contract.router import ROUTER_MEMORY_BYTES
from tuneloop_api.contract.server_config import MOST_BODY_BYTES
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
MOST_MIB = ROUTER_MEMORY_BYTES / MIB - 64
AT_THE_LIMIT = {200, 503, "RemoteDisconnected", "ConnectionResetError"}
"""What a good client may get from a router whose memory is taken: beyond 98 % no connection is taken, and a fast machine gets there between two looks."""
BODIES, SILENT, WITHOUT_A_KEY = 450, 300, 100
KEY = "a-good-key"


@pytest.fixture(scope="module")
def split() -> Iterator[dict[str, Any]]:
    """A split as the operator sends it for our own server."""
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))
    with backends("stable") as models:
        yield models.split(stable=100) | {"limits": {"bodyBytes": MOST_BODY_BYTES}}


@pytest.fixture(scope="module")
def router(split, tmp_path_factory) -> Iterator[Router]:
    settings = settings_file(tmp_path_factory.mktemp("r"), split, memoryBytes=ROUTER_MEMORY_BYTES)
    with running(settings) as found:
        yield found


def head(port: int, *lines: bytes, request: bytes = b"POST /predict") -> bytes:
    """Return a request up to its body."""
    first = b"%s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % (request, port)
    return first + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def send_side_by_side(connections: list[socket.socket], size: int) -> None:
    """Send so many bytes on each connection, in small pieces on all of them in turn, until each has sent them or the other side has closed it."""
    piece, left = b"x" * 32_768, dict.fromkeys(connections, size)
    for connection in connections:
        connection.setblocking(False)
    while left:
        sent = 0
        for connection, rest in list(left.items()):
            try:
                sent += (count := connection.send(piece[:rest]))
            except BlockingIOError:
                continue
            except OSError:
                count = rest
            left[connection] -= count
            if left[connection] == 0:
                del left[connection]
        if not sent:
            time.sleep(0.005)


def answer_of(connection: socket.socket, *, seconds: float = 0.0) -> str:
    """Return the status that comes within these seconds, `open` if nothing does, or `closed`."""
    connection.settimeout(seconds)
    try:
        return connection.recv(4096)[9:12].decode() or "closed"
    except (BlockingIOError, TimeoutError):
        return "open"
    except OSError:
        return "closed"


def wait_for_answers(beside: Beside, count: int) -> None:
    """Return when the good client has got so many more answers."""
    before = beside.statuses.total()
    until(lambda: beside.statuses.total() >= before + count, seconds=20, what="the good client asks beside them")


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_100_megabytes_are_refused_and_not_held(router, chunked):
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 100000000"
    parts = [b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n" if chunked else b"x" * 1_000_000] * 100
    with good_client_beside(router.port, router.envoy) as beside:
        statuses = [exchange_all(router.port, [head(router.port, length), *parts])[0] for _ in range(4)]
    assert set(statuses) == {413}
    assert beside.taken_mib < 20
    assert set(beside.statuses) == {200}


def test_clients_that_never_read_their_answers_hold_little(router):
    request = head(router.port, request=b"GET /large?bytes=1000000")
    with contextlib.ExitStack() as stack, good_client_beside(router.port, router.envoy) as beside:
        for number in range(SILENT):
            if number % 30 == 0:  # the model server behind it has one thread, and must answer health checks, too
                wait_for_answers(beside, 2)
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(SECONDS)
            connection.connect(("127.0.0.1", router.port))
            connection.sendall(request)
        wait_for_answers(beside, 50)
    assert beside.taken_mib < SILENT * 0.25
    assert set(beside.statuses) == {200}


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        pytest.param(b"POST /pre\0dict", b"", 400, id="a NUL in the path"),
        pytest.param(b"POST /pre%00dict", b"", 400, id="an escaped NUL in the path"),
        pytest.param(b"POST /pre\xff\xfedict", b"", 400, id="no UTF-8 in the path"),
        pytest.param(b"POST /predict", b"x-user: a\0b", 400, id="a NUL in a header"),
        pytest.param(b"POST /predict", b"x-us\0er: a", 400, id="a NUL in the name of a header"),
        pytest.param(b"POST /predict", b"x-user: \xff\xfe", 200, id="no UTF-8 in a header"),
        pytest.param(b"PO\0ST /predict", b"", 400, id="a NUL in the method"),
    ],
)
def test_what_is_no_http_is_refused(router, request_line, header, status):
    lines = (
        [header, b"connection: close", b"content-length: 2"] if header else [b"connection: close", b"content-length: 2"]
    )
    found = exchange(router.port, head(router.port, *lines, request=request_line) + b"{}")
    assert found[0] == status
    assert exchange(router.port, head(router.port, b"connection: close", b"content-length: 2") + b"{}")[0] == 200


def test_bodies_without_a_valid_key_are_refused_before_they_are_held(split, tmp_path):
    (tmp_path / "keys").write_text(KEY)
    limits = split["limits"] | {"apiKey": True}
    settings = settings_file(tmp_path, split | {"limits": limits}, apiKeysPath=str(tmp_path / "keys"))
    with running(settings) as closed:
        first = head(closed.port, b"x-api-key: wrong", b"content-length: %d" % MIB)
        with (
            many_open(closed.port, WITHOUT_A_KEY, first=first) as opened,
            good_client_beside(closed.port, closed.envoy, headers={"x-api-key": KEY}) as beside,
        ):
            answers = Counter(answer_of(connection, seconds=SECONDS) for connection in opened)
            send_side_by_side(opened, MIB - 1)
            wait_for_answers(beside, 10)
    assert set(answers) == {"401"}
    assert beside.taken_mib < 20
    assert set(beside.statuses) == {200}


# the last ones: afterwards Envoy has memory that it may use again, and what another attack takes is not seen


def test_bodies_that_many_clients_hold_take_no_more_memory_than_the_router_has(router):
    first = head(router.port, b"content-length: %d" % MIB)
    with many_open(router.port, BODIES, first=first) as opened, good_client_beside(router.port, router.envoy) as beside:
        send_side_by_side(opened, MIB - 1)  # the last byte never comes
        wait_for_answers(beside, 50)
        answers = Counter(map(answer_of, opened))
    assert beside.most_mib < MOST_MIB
    # a client that is still sending may lose the answer to the reset of its connection
    assert answers["503"] + answers["closed"] > 0, "the attack has reached the limit"
    assert set(beside.statuses) <= AT_THE_LIMIT
    assert beside.retry_after["1"] == beside.statuses[503]


def test_bodies_of_http_2_take_no_more_memory_either(router):
    with contextlib.ExitStack() as stack, good_client_beside(router.port, router.envoy) as beside:
        uploads = [Uploads(router.port, streams=100, size=MIB - 1) for _ in range(6)]
        for upload in uploads:
            stack.callback(upload.close)

        def all_sent() -> bool:
            for upload in uploads:
                upload.go_on()
            return not any(upload.sends for upload in uploads)

        until(all_sent, seconds=20, what="all bodies are sent or ended", pause=0.001)
        wait_for_answers(beside, 50)
        all_sent()
    assert beside.most_mib < MOST_MIB
    assert sum(upload.ended["reset"] + upload.ended["closed"] for upload in uploads) > 0, (
        "the attack has reached the limit"
    )
    assert set(beside.statuses) <= AT_THE_LIMIT
