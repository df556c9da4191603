"""`python -m tuneloop_server SERVER_JSON`: serve one artifact until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from pydantic import ValidationError

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.printable import log_to_stderr, printable
from tuneloop_server.app import create_app, create_metrics_app
from tuneloop_server.artifact import read_manifest
from tuneloop_server.connections import ConnectionLimits, Connections, connection_limit, uvicorn_config
from tuneloop_server.errors import CannotServe
from tuneloop_server.lifecycle import ModelService
from tuneloop_server.loopback import LoopbackOnly, is_loopback
from tuneloop_server.metrics_port import METRICS_LIMITS, MetricsPort
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.runtimes import RUNTIMES
from tuneloop_server.tasks import task_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import FrameType

    from starlette.types import ASGIApp

    from tuneloop_api.contract.artifact import Manifest

_GRACE_SECONDS = 2.0
"""From SIGTERM until the server stops listening: in this time every proxy learns that the server is not ready."""
_LAST_REQUEST_SECONDS = 0.1
"""From then until idle connections are closed: the connection that was accepted last may still send its request."""
_TICKS_OF_SWEEP = 10
_log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """uvicorn, stopped so that no request is lost: become not ready, stop listening, answer what was sent, exit with code 0."""

    def __init__(
        self, config: uvicorn.Config, *, service: ModelService, connections: Connections, metrics: MetricsPort | None
    ) -> None:
        super().__init__(config)
        self._service = service
        self._connections = connections
        self._metrics = metrics
        self._stop_listening_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer from now on, on both ports."""
        await super().startup(sockets)
        if self._metrics is not None:
            await self._metrics.open()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """Drain; at a second signal, exit at once."""
        if self._stop_listening_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._service.drain()
        grace = min(_GRACE_SECONDS, self._service.config.drain_seconds)
        self._stop_listening_at = time.monotonic() + grace

    async def on_tick(self, counter: int) -> bool:
        """Stop listening once it is time; end slow connections. uvicorn calls this every 0.1 s."""
        if counter % _TICKS_OF_SWEEP == 0:
            self._connections.sweep(asyncio.get_running_loop().time())
            if self._metrics is not None:
                await self._metrics.tick()
        if self._stop_listening_at is not None and time.monotonic() >= self._stop_listening_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer the requests that were sent, close. Until they are answered, probes and Prometheus are."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_REQUEST_SECONDS)
        await super().shutdown(sockets)
        if self._metrics is not None:
            await self._metrics.close()


def main() -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tuneloop_server", description="Serve one artifact until SIGTERM.")
    parser.add_argument("config", type=Path, metavar="SERVER_JSON", help="the server's configuration (ServerConfig)")
    arguments = parser.parse_args()
    log_to_stderr()
    os.environ.update(TORCH_FORCE_WEIGHTS_ONLY_LOAD="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    try:
        config = _config(arguments.config)
        manifest = read_manifest(config)
        with _listen(config.host, config.port) as listener, _second_listener(config) as second:
            service = _service(config, manifest)
            _serve(service, listener, None if second is None else _metrics_port(service, second))
    except CannotServe as error:
        print(printable(f"tuneloop-server: {error}"), file=sys.stderr)
        return error.exit_code
    return ExitCode.OK


def _service(config: ServerConfig, manifest: Manifest) -> ModelService:
    """Return the service of an artifact. Raises CannotServe if this server does not know the artifact's task."""
    task = task_of(config, manifest)
    return ModelService(
        config,
        manifest,
        task=task,
        runtime=RUNTIMES["torch"],
        monitoring=Monitoring(config, manifest, label_names=task.label_names(manifest.labels)),
        worker=ThreadPoolExecutor(max_workers=1, thread_name_prefix="model"),
    )


def _serve(service: ModelService, listener: socket.socket, metrics: MetricsPort | None) -> None:
    """Answer requests until the server is stopped. Raises the error for which the model cannot be served."""
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(service, stop=stop)
    drain = max(1, service.config.drain_seconds - int(_GRACE_SECONDS))
    most = connection_limit(
        max_queue=service.config.batching.max_queue,
        metrics_connections=0 if metrics is None else METRICS_LIMITS.connections,
    )
    connections = Connections(ConnectionLimits(connections=most))
    options = uvicorn_config(_guarded(app, listener), connections, drain_seconds=drain)
    server = DrainingServer(options, service=service, connections=connections, metrics=metrics)
    _log.info("listening on %s port %d", *listener.getsockname()[:2])
    server.run(sockets=[listener])
    if failures:
        raise failures[0]


def _metrics_port(service: ModelService, listener: socket.socket) -> MetricsPort:
    _log.info("probes and metrics on %s port %d", *listener.getsockname()[:2])
    return MetricsPort(_guarded(create_metrics_app(service), listener), listener)


def _guarded(app: ASGIApp, listener: socket.socket) -> ASGIApp:
    host, port = listener.getsockname()[:2]
    return LoopbackOnly(app, host=host, port=port) if is_loopback(host) else app


def _config(path: Path) -> ServerConfig:
    try:
        return ServerConfig.from_wire(json.loads(path.read_bytes()))
    except OSError as error:
        raise CannotServe(f"{path}: cannot be read ({error.strerror})", exit_code=ExitCode.CONFIG) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CannotServe(f"{path}: {field}: {first['msg']}", exit_code=ExitCode.CONFIG) from error
    except ValueError as error:
        raise CannotServe(f"{path}: is not JSON ({error})", exit_code=ExitCode.CONFIG) from error


def _second_listener(config: ServerConfig) -> AbstractContextManager[socket.socket | None]:
    """Return the listening socket for probes and metrics; None where they are answered on the model's port."""
    return nullcontext() if config.metrics_port is None else _listen(config.host, config.metrics_port)


def _listen(host: str, port: int) -> socket.socket:
    """Return the listening socket. It is opened before the model is loaded, so that a port in use is reported at once."""
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


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread that still runs inside torch would delay or abort the interpreter's shutdown.
    os._exit(code)
