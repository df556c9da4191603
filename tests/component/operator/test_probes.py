"""What the kubelet and Prometheus get, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest
from free_ports import free_port

from tuneloop_operator.probes import health_application, metrics_application
from tuneloop_operator.serving import CannotListen, served

if TYPE_CHECKING:
    from aiohttp import web


def answer(app: web.Application, path: str) -> tuple[int, str, str]:
    """Return status, content type and text."""

    async def ask() -> tuple[int, str, str]:
        port = free_port()
        async with (
            served(app, port=port),
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as reply,
        ):
            return reply.status, reply.headers["Content-Type"], await reply.text()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "ready", "status"),
    [("/healthz", False, 200), ("/healthz", True, 200), ("/readyz", False, 503), ("/readyz", True, 200)],
)
def test_it_is_alive_at_once_and_ready_later(path: str, ready: bool, status: int) -> None:
    assert answer(health_application(is_ready=lambda: ready, remarks=list), path)[0] == status


def test_metrics_are_prometheus_text() -> None:
    status, type_, text = answer(metrics_application(text=lambda: b"a 1\n"), "/metrics")
    assert (status, type_.partition(";")[0], text) == (200, "text/plain", "a 1\n")


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/debug"])
def test_nothing_else_is_there(path: str) -> None:
    assert answer(metrics_application(text=lambda: b""), path)[0] == 404


def test_a_port_that_is_taken_is_named() -> None:
    async def listen(port: int) -> None:
        async with served(health_application(is_ready=lambda: True, remarks=list), port=port):
            pass

    with socket.create_server(("", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port}: "):
            asyncio.run(listen(port))
