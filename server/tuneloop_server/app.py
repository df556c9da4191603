"""The ASGI applications: the model's mounts the protocols; pages for probes, metrics and people are on its port, or in part on a port of their own."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuneloop_server.direct_paths import DirectPaths
from tuneloop_server.errors import CannotServe, plain_error
from tuneloop_server.no_such_page import no_such_page
from tuneloop_server.protocols import PROTOCOLS
from tuneloop_server.protocols.feedback import feedback_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from starlette.requests import Request

    from tuneloop_server.lifecycle import ModelService
    from tuneloop_server.protocols.protocol import ErrorShape, WireProtocol

_log = logging.getLogger(__name__)


def create_app(
    service: ModelService,
    *,
    stop: Callable[[Exception], None],
    protocols: Mapping[str, WireProtocol] = PROTOCOLS,
) -> Starlette:
    """Return the application of the model's port. stop: called with the error if the model cannot be served."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(_run(service, stop))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    # beside a second port, too, load balancers ask for the health here: they know the Service's port only
    metrics = ["/metrics"] if service.config.metrics_port is None else []
    pages = _pages(service, "/healthz", "/readyz", *metrics, "/info")
    routes = [route for protocol in protocols.values() for route in protocol.routes(service)]
    routes += [*feedback_routes(service), *pages]
    return DirectPaths(
        routes,
        exception_handlers={HTTPException: no_such_page(routes, shape_of=partial(_error_shape, protocols.values()))},
        lifespan=lifespan,
    )


def _error_shape(protocols: Iterable[WireProtocol], path: str) -> ErrorShape:
    """Return how the protocol to which a path belongs shapes its errors."""
    owners = [protocol for protocol in protocols if protocol.prefix is not None and path.startswith(protocol.prefix)]
    return owners[0].error_shape if owners else plain_error


def create_metrics_app(service: ModelService) -> Starlette:
    """Return the application of the second port, which probes and Prometheus read."""
    routes = _pages(service, "/healthz", "/readyz", "/metrics")
    return Starlette(routes=routes, exception_handlers={HTTPException: no_such_page(routes)})


async def _run(service: ModelService, stop: Callable[[Exception], None]) -> None:
    try:
        await service.run()
    except CannotServe as error:
        stop(error)
    except Exception as error:  # noqa: BLE001  (a server that can never be ready must end, whatever the defect)
        _log.exception("the server cannot go on")
        stop(error)


def _pages(service: ModelService, *paths: str) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return _health(service.lost_reason)

    async def readyz(_: Request) -> Response:
        return _health(service.not_ready_reason)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(service.monitoring.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def info(_: Request) -> Response:
        return JSONResponse(_info(service))

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/info": info}
    return [Route(path, pages[path], methods=["GET"]) for path in paths]


def _health(problem: str | None) -> Response:
    return JSONResponse({"status": "ok"}) if problem is None else JSONResponse({"error": problem}, status_code=503)


def _info(service: ModelService) -> dict[str, object]:
    manifest = service.manifest
    info: dict[str, object] = {
        "deployment": service.config.name,
        "revision": service.config.revision,
        "digest": manifest.digest(),
        "task": manifest.task,
        "labels": manifest.labels,
        "maxTokens": manifest.max_tokens,
        "baseModel": manifest.base_model,
    }
    if manifest.target_scale is not None:
        info["targetScale"] = manifest.target_scale.to_wire()
    if service.adapters.adapters:
        info["adapters"] = [
            {"name": adapter.name, "digest": adapter.manifest.digest(), "maxTokens": adapter.manifest.max_tokens}
            for adapter in service.adapters.adapters
        ]
    return info
