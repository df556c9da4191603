from __future__ import annotations

import socket

import pytest

from tuneloop_cli.local.processes.ports import LOOPBACK, Ports, is_free


@pytest.fixture
def ports():
    held = Ports()
    yield held
    held.close()


def listener(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((LOOPBACK, port))
    server.listen()
    return server


def test_an_object_keeps_its_port(ports):
    assert ports.reserve("one") == ports.reserve("one")
    assert ports.reserve("one") != ports.reserve("two")


def test_an_object_may_have_several_ports_which_are_released_together(ports):
    found = [ports.reserve("one", name) for name in ("http", "metrics")]
    assert len(set(found)) == 2
    ports.release("one")
    assert not any(map(ports.holds, found))


def test_its_own_process_can_listen_there_again_and_again(ports):
    port = ports.reserve("one")
    for _ in range(2):
        with listener(port) as server, socket.create_connection((LOOPBACK, port)) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""


def test_nobody_else_is_given_a_reserved_port(ports):
    port = ports.reserve("one")
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind((LOOPBACK, port))


def test_two_sessions_never_have_the_same(ports):
    other = Ports()
    try:
        mine = {ports.reserve(str(number)) for number in range(200)}
        theirs = {other.reserve(str(number)) for number in range(200)}
        assert len(mine | theirs) == 400
    finally:
        other.close()


def test_a_port_can_be_asked_for_and_given_back(ports):
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(OSError, match="in use"):
            ports.reserve("one", wanted=port)
    assert is_free(port)
    assert ports.reserve("one", wanted=port) == port
    assert ports.holds(port)
    ports.release("one")
    assert not ports.holds(port)
