"""What a pod without a token can do to the progress port: many TLS connections that say nothing."""

from __future__ import annotations

import contextlib
import ssl
import time

from raw_http import connect, is_open, resident_mib

ATTACKER = "127.0.0.2"


def open_idle(server, count: int, stack: contextlib.ExitStack) -> list[ssl.SSLSocket]:
    """Return connections that shook hands and are silent."""
    idle = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            plain = stack.enter_context(connect(server.port, source=ATTACKER))
            idle.append(stack.enter_context(server.tls.wrap_socket(plain, server_hostname="localhost")))
    return idle


def test_idle_connections_without_a_token_take_little_memory_and_keep_no_post_out(progress_server):
    before = resident_mib(progress_server.pid)
    waits = []
    with contextlib.ExitStack() as stack:
        for _ in range(15):
            idle = open_idle(progress_server, 20, stack)
            start = time.monotonic()
            assert progress_server.post() == 202
            waits.append(time.monotonic() - start)
        assert resident_mib(progress_server.pid) - before < 40  # 300 connections took 82 MiB
        assert max(waits) < 5
        assert is_open(idle[-1])
        time.sleep(11)
        assert not is_open(idle[-1])


def test_posts_from_the_address_of_the_attacker_get_through(progress_server):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(progress_server.port))
        assert progress_server.post() == 202
