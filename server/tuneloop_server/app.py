"""The ASGI application: routes, limits and the form of responses."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tuneloop_server.errors import CannotServe, RequestError
from tuneloop_server.protocols import hf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tuneloop_server.errors import Reason
    from tuneloop_server.lifecycle import ModelService

MOST_BODY_BYTES = 1024 * 1024
_PREDICT = ("/", "/predict")
_log = logging.getLogger(__name__)


def create_app(service: ModelService, *, stop: Callable[[Exception], None]) -> Starlette:
    """Return the application. `stop` is called with the reason if the model cannot be served."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(_run(service, stop))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def predict(request: Request) -> Response:
        return await _predict(service, request)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        reason = service.not_ready_reason
        return JSONResponse({"status": "ok"}) if reason is None else JSONResponse({"error": reason}, status_code=503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(service.monitoring.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def info(_: Request) -> Response:
        return JSONResponse(_info(service))

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/info": info}
    return Starlette(
        routes=[
            *(Route(path, predict, methods=["POST"]) for path in _PREDICT),
            *(Route(path, page, methods=["GET"]) for path, page in pages.items()),
        ],
        exception_handlers={HTTPException: _no_such_page},
        lifespan=lifespan,
    )


async def _run(service: ModelService, stop: Callable[[Exception], None]) -> None:
    try:
        await service.run()
    except CannotServe as error:
        stop(error)
    except Exception as error:  # noqa: BLE001  (a server that can never be ready must end, whatever the defect)
        _log.exception("the server cannot go on")
        stop(error)


async def _predict(service: ModelService, request: Request) -> Response:
    start = time.perf_counter()
    reason: Reason = "ok"
    status = 200
    headers = {"content-type": "application/json"}
    with service.monitoring.inflight.track_inprogress():
        try:
            parsed = hf.read(await _body(request))
            predictions = await service.classify(parsed.texts)
            answer = hf.write(parsed, predictions, labels=service.manifest.labels)
        except RequestError as error:
            status, reason = error.status, error.reason
            answer = json.dumps({"error": str(error)}, ensure_ascii=False).encode()
            if error.retry_after is not None:
                headers["retry-after"] = str(error.retry_after)
    if (
        service.draining or status == 413
    ):  # a client that keeps its connection must look for another server; a body may be unread
        headers["connection"] = "close"
    service.monitoring.request_done(hf.NAME, status=status, reason=reason, seconds=time.perf_counter() - start)
    return Response(answer, status_code=status, headers=headers)


async def _body(request: Request) -> bytes:
    """Return the body. Raises RequestError past 1 MiB, without reading on."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > MOST_BODY_BYTES:
        raise _too_large(f"{declared} bytes")
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MOST_BODY_BYTES:
                raise _too_large("more")
    except ClientDisconnect:
        raise RequestError("the body ended early", status=400, reason="validation") from None
    return b"".join(parts)


def _too_large(found: str) -> RequestError:
    message = (
        f"the body has {found}, at most {MOST_BODY_BYTES} bytes (1 MiB) are allowed; send fewer texts in one request"
    )
    return RequestError(message, status=413, reason="validation")


async def _no_such_page(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
    what = (
        f"the method {request.method} is not allowed here, use {allowed}" if status == 405 else "there is no such page"
    )
    pages = "POST /predict, GET /healthz, /readyz, /metrics, /info"
    return JSONResponse(
        {"error": f"{what}; there are: {pages}"}, status_code=status, headers={"allow": allowed} if allowed else None
    )


def _info(service: ModelService) -> dict[str, object]:
    manifest = service.manifest
    return {
        "deployment": service.config.name,
        "revision": service.config.revision,
        "digest": manifest.digest(),
        "task": manifest.task,
        "labels": manifest.labels,
        "maxTokens": manifest.max_tokens,
        "baseModel": manifest.base_model,
    }
