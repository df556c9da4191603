"""Opens the port of a server, and guards one that is on loopback."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.loopback import LoopbackOnly, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def listen(host: str, port: int) -> socket.socket:
    """Return the listening socket. It is opened before anything slow begins, so that a port in use is reported at once. Raises CannotServe."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host} port {port} ({error.strerror}); stop what uses the port, or choose another"
        raise CannotServe(message, exit_code=ExitCode.CONFIG) from error
    return listener


def guarded(app: ASGIApp, listener: socket.socket) -> ASGIApp:
    """Return the application; on loopback it refuses what no program of this machine sends by itself."""
    host, port = listener.getsockname()[:2]
    return LoopbackOnly(app, host=host, port=port) if is_loopback(host) else app
