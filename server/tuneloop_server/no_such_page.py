"""What a wrong path or method is answered with: the pages that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from tuneloop_server.errors import RequestError, plain_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    ErrorShape = Callable[[RequestError], tuple[int, object]]


def no_such_page(
    routes: Sequence[Route], *, shape_of: Callable[[str], ErrorShape] = lambda _: plain_error
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return the handler for wrong paths and methods; its response lists the routes. shape_of: (path) → how an error is shaped there."""
    by_method = {method: _paths(routes, method) for method in ("POST", "GET")}
    listed = "; ".join(f"{method} {', '.join(paths)}" for method, paths in by_method.items() if paths)

    async def handle(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error, HTTPException) else ""
        problem = (
            f"the method {request.method} is not allowed here, use {allowed}"
            if status == 405
            else "there is no such page"
        )
        headers = {"allow": allowed} if allowed else None
        shown = RequestError(f"{problem}; there are: {listed}", status=status, reason="validation")
        status, content = shape_of(request.url.path)(shown)
        return JSONResponse(content, status_code=status, headers=headers)

    return handle


def _paths(routes: Iterable[Route], method: str) -> list[str]:
    return [route.path for route in routes if method in (route.methods or ())]
