"""What a wrong path or method is answered with: the pages that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route


def no_such_page(routes: Sequence[Route]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return the handler for wrong paths and methods; its response lists the routes."""
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
        return JSONResponse({"error": f"{problem}; there are: {listed}"}, status_code=status, headers=headers)

    return handle


def _paths(routes: Iterable[Route], method: str) -> list[str]:
    return [route.path for route in routes if method in (route.methods or ())]
