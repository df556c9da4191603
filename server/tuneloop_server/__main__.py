"""`python -m tuneloop_server SERVER_JSON`: serve one artifact until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.printable import log_to_stderr
from tuneloop_server.adapters import Adapters, read_manifests
from tuneloop_server.app import create_app, create_metrics_app
from tuneloop_server.config_file import read_config
from tuneloop_server.connections import ConnectionLimits, Connections, connection_limit, uvicorn_config
from tuneloop_server.draining import GRACE_SECONDS, DrainingServer
from tuneloop_server.errors import CannotServe
from tuneloop_server.feedback.start import feedback_of
from tuneloop_server.last_words import RecentLines, say_why
from tuneloop_server.lifecycle import ModelService
from tuneloop_server.listening import guarded, listen
from tuneloop_server.metrics_port import METRICS_LIMITS, MetricsPort
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.profile import read_features
from tuneloop_server.runtimes import require_generator, runtime_of
from tuneloop_server.runtimes.kernel_caches import limit_kernel_caches
from tuneloop_server.tasks import task_of

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from tuneloop_api.contract.artifact import Manifest

_log = logging.getLogger(__name__)


def main() -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tuneloop_server", description="Serve one artifact until SIGTERM.")
    parser.add_argument("config", type=Path, metavar="SERVER_JSON", help="the server's configuration (ServerConfig)")
    arguments = parser.parse_args()
    log_to_stderr()
    recent = RecentLines.of_the_log()
    os.environ.update(TORCH_FORCE_WEIGHTS_ONLY_LOAD="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    limit_kernel_caches(os.environ)
    config = None
    try:
        config = read_config(arguments.config, ServerConfig)
        manifest, adapters = read_manifests(config)
        with listen(config.host, config.port) as listener, _second_listener(config) as second:
            service = _service(config, manifest, adapters)
            _serve(service, listener, None if second is None else _metrics_port(service, second))
    except CannotServe as error:
        return say_why(error, config, lines=recent.lines)
    return ExitCode.OK


def _service(config: ServerConfig, manifest: Manifest, adapters: Adapters) -> ModelService:
    """Return the service of an artifact and of the adapters on it. Raises CannotServe if this server does not know the artifact's task, or the engine, or cannot count with the artifact's bins."""
    task, runtime = task_of(config, manifest), runtime_of(config)
    require_generator(config, runtime, task)
    monitoring = Monitoring(config, manifest, label_names=task.label_names(manifest.labels))
    features = read_features(config, manifest, task.features)
    if features is not None:
        features.show(monitoring.registry, constant=monitoring.constant)
    return ModelService(
        config,
        manifest,
        task=task,
        runtime=runtime,
        monitoring=monitoring,
        adapters=adapters,
        feedback=feedback_of(config, manifest, monitoring),
        features=features,
        worker=ThreadPoolExecutor(max_workers=1, thread_name_prefix="model"),
    )


def _serve(service: ModelService, listener: socket.socket, metrics: MetricsPort | None) -> None:
    """Answer requests until the server is stopped. Raises the error for which the model cannot be served."""
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(service, stop=stop)
    drain = max(1, service.config.drain_seconds - int(GRACE_SECONDS))
    most = connection_limit(
        max_queue=service.config.batching.max_queue,
        metrics_connections=0 if metrics is None else METRICS_LIMITS.connections,
    )
    connections = Connections(ConnectionLimits(connections=most))
    options = uvicorn_config(guarded(app, listener), connections, drain_seconds=drain)
    server = DrainingServer(
        options,
        drain=service.drain,
        drain_seconds=service.config.drain_seconds,
        connections=connections,
        metrics=metrics,
    )
    _log.info("listening on %s port %d", *listener.getsockname()[:2])
    server.run(sockets=[listener])
    if service.feedback is not None:
        service.feedback.close()
    if failures:
        raise failures[0]


def _metrics_port(service: ModelService, listener: socket.socket) -> MetricsPort:
    _log.info("probes and metrics on %s port %d", *listener.getsockname()[:2])
    return MetricsPort(guarded(create_metrics_app(service), listener), listener)


def _second_listener(config: ServerConfig) -> AbstractContextManager[socket.socket | None]:
    """Return the listening socket for probes and metrics; None where they are answered on the model's port."""
    return nullcontext() if config.metrics_port is None else listen(config.host, config.metrics_port)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread that still runs inside torch would delay or abort the interpreter's shutdown.
    os._exit(code)
