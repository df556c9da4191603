"""The control port: probes, metrics, counts, and where replays of golden requests are asked for. Nothing here shows a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuneloop_api.contract.comparison import COUNTS_PATH, GOLDEN_PATH, GoldenRequest
from tuneloop_server.comparator.metrics import ComparatorMetrics
from tuneloop_server.comparator.replays import MOST_TIMES
from tuneloop_server.no_such_page import no_such_page

if TYPE_CHECKING:
    from starlette.requests import Request

    from tuneloop_server.comparator.service import ComparatorService

_MOST_BODY_BYTES = 1024
_EXAMPLE = 'example: {"times": 1}'


def create_control_app(service: ComparatorService) -> Starlette:
    """Return the application of the control port."""
    registry = CollectorRegistry()
    registry.register(ComparatorMetrics(service))

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = service.not_ready_reason
        return JSONResponse({"status": "ok"}) if reason is None else JSONResponse({"error": reason}, status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def counts(_: Request) -> Response:
        return JSONResponse(service.counts().to_wire())

    async def golden(request: Request) -> Response:
        return await _golden(service, request)

    routes = [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route(COUNTS_PATH, counts, methods=["GET"]),
        Route(GOLDEN_PATH, golden, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: no_such_page(routes)})


async def _golden(service: ComparatorService, request: Request) -> Response:
    """Take the number of replays that is wanted; answer with the progress."""
    body = await _body(request)
    try:
        wanted = GoldenRequest.from_wire(json.loads(body or b""))
    except (ValueError, RecursionError, ValidationError):
        return _error(422, f"the body is no request for replays; {_EXAMPLE}")
    if not 1 <= wanted.times <= MOST_TIMES:
        return _error(
            422, f"times: {wanted.times} was given, allowed is a whole number from 1 to {MOST_TIMES}; {_EXAMPLE}"
        )
    if service.replays is None:
        return _error(409, "there is no golden set; give its path in golden.path of the configuration")
    if service.replays.problem is not None:
        return _error(409, service.replays.problem)
    service.replays.want(wanted.times)
    progress = service.replays.message()
    return JSONResponse(progress.to_wire(), status_code=200 if progress.completed >= wanted.times else 202)


async def _body(request: Request) -> bytes | None:
    """Return the body; None if it is too long or ended early."""
    parts = bytearray()
    try:
        async for part in request.stream():
            parts += part
            if len(parts) > _MOST_BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return bytes(parts)


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)
