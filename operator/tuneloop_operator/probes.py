"""/healthz and /readyz for the kubelet, /metrics for Prometheus: plain HTTP, read only, no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def health_application(*, is_ready: Callable[[], bool], remarks: Callable[[], Iterable[str]]) -> web.Application:
    """Return /healthz, which answers while the event loop runs, and /readyz, which asks `is_ready` and adds the lines of `remarks`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="".join(f"{line}\n" for line in ("ok", *remarks())))
        return web.Response(status=503, text="the first lists are not in yet\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def metrics_application(*, text: Callable[[], bytes]) -> web.Application:
    """Return /metrics, in Prometheus' text format."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=text(), headers={"Content-Type": _METRICS_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
