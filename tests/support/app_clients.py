"""The server's application in this process, for tests that look inside or bring a part of their own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import generate_latest
from starlette.testclient import TestClient

from tuneloop_server.adapters import NO_ADAPTERS, Adapters
from tuneloop_server.app import create_app
from tuneloop_server.lifecycle import ModelService
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.protocols import PROTOCOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tuneloop_api.contract.artifact import Manifest
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.features import FeatureCounts
    from tuneloop_server.protocols.protocol import WireProtocol
    from tuneloop_server.runtimes.runtime import Runtime
    from tuneloop_server.tasks.task import Task

SECONDS = 30.0


class AppClient(TestClient):
    """A client of an application; `failures` are the errors for which the model cannot be served."""

    service: ModelService
    failures: list[Exception]


@contextmanager
def app_client(
    config: ServerConfig,
    manifest: Manifest,
    *,
    task: Task[Any],
    runtime: Runtime,
    protocols: Mapping[str, WireProtocol] = PROTOCOLS,
    adapters: Adapters = NO_ADAPTERS,
    features: FeatureCounts | None = None,
) -> Iterator[AppClient]:
    """Run the application of an artifact. The model may still be loading."""
    monitoring = Monitoring(config, manifest, label_names=task.label_names(manifest.labels))
    failures: list[Exception] = []
    with ThreadPoolExecutor(1) as worker:
        service = ModelService(
            config,
            manifest,
            task=task,
            runtime=runtime,
            monitoring=monitoring,
            worker=worker,
            adapters=adapters,
            features=features,
        )
        with AppClient(create_app(service, stop=failures.append, protocols=protocols)) as client:
            client.failures, client.service = failures, service
            yield client


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fail after 30 s."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline


def metric(client: AppClient, line: str) -> bool:
    """Return whether the metrics have a line that begins so."""
    return line in generate_latest(client.service.monitoring.registry).decode()
