"""`python -m tuneloop_server.comparator --config FILE`: compare two revisions until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from starlette.applications import Starlette
from starlette.routing import Mount

from tuneloop_api.contract.comparator_config import ComparatorConfig
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.wire.printable import log_to_stderr, printable
from tuneloop_server.comparator.config_check import check_config
from tuneloop_server.comparator.control import create_control_app
from tuneloop_server.comparator.served_models import with_served_models
from tuneloop_server.comparator.service import ComparatorService
from tuneloop_server.config_file import read_config
from tuneloop_server.connections import ConnectionLimits, Connections, uvicorn_config
from tuneloop_server.draining import GRACE_SECONDS, DrainingServer
from tuneloop_server.errors import CannotServe
from tuneloop_server.listening import guarded, listen
from tuneloop_server.metrics_port import MetricsPort

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

_CONNECTIONS = ConnectionLimits(connections=128)
"""A router's Envoy opens at most 16."""
_LAST_ANSWERS_SECONDS = 1
_log = logging.getLogger(__name__)


def main() -> int:
    """Compare; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tuneloop_server.comparator",
        description="Compare two revisions on the same requests until SIGTERM.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="ComparatorConfig as JSON")
    arguments = parser.parse_args()
    log_to_stderr()
    try:
        config = read_config(arguments.config, ComparatorConfig)
        check_config(config)
        with (
            listen(config.host, config.port) as copies,
            listen(config.host, config.control_port) as control,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_compare(config, copies, control))
    except CannotServe as error:
        print(printable(f"tuneloop-comparator: {error}"), file=sys.stderr)
        return error.exit_code


async def _compare(config: ComparatorConfig, copies: socket.socket, control: socket.socket) -> int:
    """Serve both ports until the process is stopped; return the exit code. Raises CannotServe where the revisions cannot be compared."""
    config = await with_served_models(config)
    check_config(config)
    service = ComparatorService(config)
    failures: list[BaseException] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(service.run())
        running.add_done_callback(ended)
        yield
        running.cancel()
        with suppress(asyncio.CancelledError, Exception):  # `ended` has noted it
            await running
        await service.stop(max(0.0, config.drain_seconds - GRACE_SECONDS - _LAST_ANSWERS_SECONDS))

    def ended(running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        if error is not None:
            _log.error("the comparator cannot go on", exc_info=error)
            failures.append(error)
            server.should_exit = True

    app = Starlette(routes=[Mount("/", app=guarded(service.copies, copies))], lifespan=lifespan)
    connections = Connections(_CONNECTIONS)
    server = DrainingServer(
        uvicorn_config(app, connections, drain_seconds=_LAST_ANSWERS_SECONDS),
        drain=service.drain,
        drain_seconds=config.drain_seconds,
        connections=connections,
        metrics=MetricsPort(guarded(create_control_app(service), control), control),
    )
    _log.info(
        "comparing %s with %s: copies on port %d, probes, metrics and counts on port %d",
        config.canary.name,
        config.stable.name,
        copies.getsockname()[1],
        control.getsockname()[1],
    )
    await server.serve(sockets=[copies])
    return ExitCode.UNKNOWN if failures else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
