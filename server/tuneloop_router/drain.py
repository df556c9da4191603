"""The end of a router that loses no request."""

from __future__ import annotations

import http.client
import subprocess
import time
from typing import TYPE_CHECKING

from tuneloop_router.admin import Admin
from tuneloop_router.envoy_config.stats import ACTIVE_REQUESTS
from tuneloop_router.log import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_router.settings import Settings

_LAST_SECONDS = 10.0
"""For Envoy to end after SIGTERM, which takes it 0.3 s."""


def drain(envoy: subprocess.Popen[bytes], settings: Settings, *, interrupted: Callable[[], bool]) -> None:
    """Become not ready, close connections politely, wait for the last request, end. interrupted: waits a little, and tells whether to hurry."""
    begun = time.monotonic()
    admin = Admin(settings.places.admin_socket)
    try:
        admin.post("/healthcheck/fail")
        admin.post("/drain_listeners?graceful&skip_exit")
        while not interrupted() and envoy.poll() is None:
            waited = time.monotonic() - begun
            if waited >= settings.drain_seconds or (waited >= settings.quiet_seconds and not _active(admin)):
                break
    except (OSError, http.client.HTTPException) as error:
        say(f"Envoy cannot be drained: {error}")
    end(envoy)


def end(envoy: subprocess.Popen[bytes]) -> None:
    """End Envoy, and wait for it."""
    envoy.terminate()
    try:
        envoy.wait(_LAST_SECONDS)
    except subprocess.TimeoutExpired:
        envoy.kill()
        envoy.wait()


def _active(admin: Admin) -> int:
    return int(admin.stats([ACTIVE_REQUESTS]).get(ACTIVE_REQUESTS, 0))
