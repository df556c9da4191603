"""The end of a router that loses no request."""

from __future__ import annotations

import http.client
import subprocess
import time
from typing import TYPE_CHECKING

from tuneloop_router.admin import Admin
from tuneloop_router.envoy_config.stats import ACTIVE_CONNECTIONS, ACTIVE_REQUESTS
from tuneloop_router.log import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_router.settings import Settings

_LAST_SECONDS = 10.0
"""For Envoy to end after SIGTERM, which takes it 0.3 s."""
_KEPT_SECONDS = 1.0
"""For clients that keep connections, once nobody can open another one: the next answer on each says that it closes. One that is silent for longer is closed."""


def drain(envoy: subprocess.Popen[bytes], settings: Settings, *, interrupted: Callable[[], bool]) -> None:
    """Become not ready, stop listening, close connections politely, wait for the last request, end. interrupted: waits a little, and tells whether to hurry.

    Envoy resets what reaches it while it ends. So it stops listening before: who comes then is refused, and has sent nothing.
    """
    begun = time.monotonic()
    admin = Admin(settings.places.admin_socket)

    def reached(done: Callable[[], bool]) -> bool:
        """Wait until it is done; return False if Envoy or the time has ended first."""
        while not interrupted() and envoy.poll() is None and time.monotonic() - begun < settings.drain_seconds:
            if done():
                return True
        return False

    def is_quiet() -> bool:
        return time.monotonic() - begun >= settings.quiet_seconds and not _active(admin, ACTIVE_REQUESTS)

    try:
        if settings.quiet_seconds:  # other proxies are to learn that this one goes
            admin.post("/healthcheck/fail")
            admin.post("/drain_listeners?graceful&skip_exit")
        if reached(is_quiet if settings.quiet_seconds else lambda: True):
            _close(admin, reached)
    except (OSError, http.client.HTTPException) as error:
        say(f"Envoy cannot be drained: {error}")
    end(envoy)


def _close(admin: Admin, reached: Callable[[Callable[[], bool]], bool]) -> None:
    """Stop listening, and have each connection closed by its next answer: in this order, or its client would open another one just then."""
    admin.post("/drain_listeners")
    closed = time.monotonic()
    if reached(lambda: True):  # Envoy closes its sockets meanwhile
        admin.post("/healthcheck/fail")
        reached(lambda: not _active(admin, _awaited(time.monotonic() - closed)))


def end(envoy: subprocess.Popen[bytes]) -> None:
    """End Envoy, and wait for it."""
    envoy.terminate()
    try:
        envoy.wait(_LAST_SECONDS)
    except subprocess.TimeoutExpired:
        envoy.kill()
        envoy.wait()


def _awaited(seconds: float) -> str:
    """Return what must be over, so many seconds after Envoy has stopped listening: first all connections, then requests alone."""
    return ACTIVE_CONNECTIONS if seconds < _KEPT_SECONDS else ACTIVE_REQUESTS


def _active(admin: Admin, name: str) -> int:
    return int(admin.stats([name]).get(name, 0))
