"""The Prometheus of a session. It starts with the first manifest that needs it, for a gate or a baseline, and scrapes what serves."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

from tuneloop_cli.local.cluster.pod_objects import is_terminal
from tuneloop_cli.local.errors import NoPrometheus
from tuneloop_cli.local.own_port import served_to_own_processes
from tuneloop_cli.local.processes.ports import LOOPBACK
from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus
from tuneloop_operator.names import COMPONENT_LABEL, DEPLOYMENT_LABEL, LOCAL_METRICS_URL, REVISION_LABEL
from tuneloop_operator.probes import metrics_application
from tuneloop_operator.prometheus.door import Place, PrometheusDoor
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.prometheus.answer import Answer, VectorAnswer
    from tuneloop_operator.prometheus.query import PromQL

_LOOK_SECONDS = 2.0
"""How often pods are looked at. Prometheus itself reads its targets every 5 s."""
_LOG = logging.getLogger(__name__)


class SessionPrometheus:
    """No Prometheus, or one, as an async context manager."""

    def __init__(
        self, *, directory: Path, pods: Callable[[], Iterable[Manifest]], operator: Callable[[], bytes]
    ) -> None:
        """directory: for its data; pods: those of the session; operator: the metrics of its operator, in Prometheus' text format."""
        self._directory = directory
        self._pods = pods
        self._operator = operator
        self._stack = AsyncExitStack()
        self._door: PrometheusDoor | None = None

    async def __aenter__(self) -> Self:
        """Start nothing."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what was started."""
        await self._stack.aclose()

    async def start(self) -> None:
        """Start Prometheus unless it runs. Raises NoPrometheus."""
        if self._door is not None:
            return
        prometheus = await self._stack.enter_async_context(LocalPrometheus(self._directory, say=_LOG.info))
        self._door = await self._stack.enter_async_context(PrometheusDoor(Place(address=prometheus.url)))
        listening = socket.create_server((LOOPBACK, 0))
        await self._stack.enter_async_context(
            served_to_own_processes(metrics_application(text=self._operator), listening)
        )
        operator = Target(address=f"{LOOPBACK}:{listening.getsockname()[1]}", component="operator")
        self._stack.callback(asyncio.create_task(self._follow(prometheus, operator)).cancel)

    async def ask(self, query: PromQL) -> Answer:
        """Return the number, or why there is none."""
        async with self._open_door() as door:
            return await door.ask(query)

    async def ask_vector(self, query: PromQL) -> VectorAnswer:
        """Return the numbers of all series, or why there are none."""
        async with self._open_door() as door:
            return await door.ask_vector(query)

    @asynccontextmanager
    async def _open_door(self) -> AsyncIterator[PrometheusDoor]:
        if self._door is not None:
            yield self._door
            return
        async with PrometheusDoor(None) as closed:
            yield closed

    async def _follow(self, prometheus: LocalPrometheus, operator: Target) -> None:
        known: list[Target] = []
        while True:
            if (found := [operator, *targets_of(self._pods())]) != known:
                try:
                    prometheus.targets(found)
                    known = found
                except OSError as error:  # as when the disk is full; the session goes on
                    _LOG.warning("Prometheus scrapes what it scraped before: %s", error)
            try:
                await prometheus.start_again_if_ended()
            except (NoPrometheus, OSError) as error:  # gates say that it is away
                _LOG.warning("%s", error)
            await asyncio.sleep(_LOOK_SECONDS)


def targets_of(pods: Iterable[Manifest]) -> list[Target]:
    """Return what is scraped: each server, and each router and comparator at its second port."""
    found = [(pod, address) for pod in pods if not is_terminal(pod) and (address := _address(pod))]
    return [
        Target(
            address=address,
            namespace=pod["metadata"]["namespace"],
            deployment=pod["metadata"]["labels"][DEPLOYMENT_LABEL],
            revision=pod["metadata"]["labels"].get(REVISION_LABEL, ""),
            component=pod["metadata"]["labels"].get(COMPONENT_LABEL, "server"),
        )
        for pod, address in found
    ]


def _address(pod: Manifest) -> str:
    """Return where the metrics of a pod are; empty for a pod of a job, and before its process starts."""
    metadata = pod["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if DEPLOYMENT_LABEL not in labels:
        return ""
    own: str = "" if COMPONENT_LABEL in labels else annotations.get(LOCAL_URL, "")
    url: str = annotations.get(LOCAL_METRICS_URL, own)
    return url.removeprefix("http://")
