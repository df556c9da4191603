"""What a pod without a token can do to the operator's ports for pods: many TLS connections that say nothing. Both are attacked at once."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass, field

import pytest
from pod_ports_process import GENERATION
from raw_http import connect, is_open, resident_mib

ATTACKER = "127.0.0.2"
ROUNDS, CONNECTIONS = 15, 20
"""In each round so many connections to each port."""
_HOLD = 15
"""Seconds of a poll that begins before the attack: longer than a client may be silent."""


@dataclass
class Attacked:
    """What was found of one port."""

    statuses: set[int] = field(default_factory=set)
    """Of true requests, one in each round."""
    slowest: float = 0.0
    """Seconds of the slowest of them."""
    was_open: bool = False
    """Whether the newest silent connection was still open at the end of the attack."""
    is_closed: bool = False
    """Whether it was closed soon after."""


@dataclass
class Held:
    status: int = 0
    """0: it got no answer."""
    seconds: float = 0.0


@dataclass
class Attack:
    ports: dict[str, Attacked]
    taken_mib: float
    """Memory that the process took, for both ports."""
    held: Held
    """The poll that began before it."""


@pytest.fixture(scope="module")
def attack(pod_ports) -> Attack:
    requests = {
        "progress": (pod_ports.progress_port, pod_ports.post),
        "routers": (pod_ports.router_port, pod_ports.poll),
    }
    found = {name: Attacked() for name in requests}
    held = Held()

    def hold() -> None:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            held.status = pod_ports.poll("held", in_force=GENERATION, hold=_HOLD)
        held.seconds = time.monotonic() - start

    holding = threading.Thread(target=hold)
    holding.start()
    before, newest = resident_mib(pod_ports.pid), {}
    with contextlib.ExitStack() as stack:
        for _ in range(ROUNDS):
            for name, (port, request) in requests.items():
                newest[name] = open_silent(pod_ports, port, CONNECTIONS, stack)[-1]
                start = time.monotonic()
                found[name].statuses.add(request())
                found[name].slowest = max(found[name].slowest, time.monotonic() - start)
        taken = resident_mib(pod_ports.pid) - before
        for name, connection in newest.items():
            found[name].was_open = is_open(connection)
        time.sleep(11)
        for name, connection in newest.items():
            found[name].is_closed = not is_open(connection)
    holding.join()
    return Attack(found, taken, held)


def open_silent(pod_ports, port: int, count: int, stack: contextlib.ExitStack) -> list[ssl.SSLSocket]:
    """Return connections that shook hands and are silent."""
    silent = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            plain = stack.enter_context(connect(port, source=ATTACKER))
            silent.append(stack.enter_context(pod_ports.tls.wrap_socket(plain, server_hostname="localhost")))
    return silent


@pytest.mark.parametrize(("port", "status"), [("progress", 202), ("routers", 200)])
def test_silent_connections_without_a_token_keep_no_true_request_out_and_end(attack, port, status):
    found = attack.ports[port]
    assert found.statuses == {status}
    assert found.slowest < 5
    assert found.was_open
    assert found.is_closed


def test_silent_connections_take_little_memory(attack):
    assert attack.taken_mib < 30  # 600 connections would take 170 MiB


def test_a_poll_that_is_held_is_not_cut_by_others(attack):
    assert attack.held.status == 304
    assert attack.held.seconds >= _HOLD


def test_requests_from_the_address_of_the_attacker_get_through(pod_ports):
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(connect(pod_ports.progress_port))
            stack.enter_context(connect(pod_ports.router_port))
        assert (pod_ports.post(), pod_ports.poll()) == (202, 200)
