"""`RoutingOperator`: all that routers get from an operator, on a cluster in memory: store, split, authentication, and the port with TLS.

    operator = RoutingOperator(certificates, addresses={"stable": ("127.0.0.1", 8080)})
    with operator.serving():
        operator.write_status(stable=100)

The test writes the status of the ModelDeployment `reviews` of `team-a`, unless the operator reconciles. It may be served again after its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from free_ports import free_port
from memory_cluster import MemoryCluster
from routed_manifests import pod_of_deployment, routed_deployment

from tuneloop_api.wire.model import changed
from tuneloop_operator.cluster.token_reviews import TokenIdentity
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.pod_ports import PodPorts
from tuneloop_operator.routers.server import ROUTER_LIMITS
from tuneloop_operator.serving import served
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.process import ProcessSettings
from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_api.contract.router import RouterSplit

TOKEN = "s3cret"
SETTINGS = ProcessSettings(pod_namespace="tuneloop-system", pod_name="operator-0", pod_ip="192.0.2.1")
_SECONDS = 20.0
Address = tuple[str, int]


class _OperatorOfThisMachine(Operator):
    """Finds the servers of each revision by their addresses, as the DNS of a cluster does."""

    def __init__(self, addresses: dict[str, Address], **options: Any) -> None:
        super().__init__(**options)
        self._addresses = addresses
        self.heard: list[RouterReport] = []
        """What routers reported, one report after another."""

    def router_report(self, namespace: str, name: str, report: RouterReport) -> None:
        self.heard.append(report)
        super().router_report(namespace, name, report)

    def split_of(self, namespace: str, name: str) -> RouterSplit | None:
        split = super().split_of(namespace, name)
        if split is None:
            return None
        found = {revision.name: self._addresses[revision.name.removeprefix(f"{name}-")] for revision in split.revisions}
        placed = [
            changed(revision, host=found[revision.name][0], port=found[revision.name][1])
            for revision in split.revisions
        ]
        return changed(split, revisions=placed)


class RoutingOperator:
    """One operator and its cluster; it is served in a thread of its own."""

    def __init__(
        self,
        certificates: Path,
        *,
        addresses: dict[str, Address],
        deployment: dict[str, Any] | None = None,
        routers: tuple[str, ...] = ("reviews-router-x",),
    ) -> None:
        """certificates: a folder with own.crt and own.key. addresses: of the servers of each revision.

        deployment: one that the operator reconciles; None: the test writes a status. routers: names of their pods; each has a token.
        """
        self.addresses = addresses
        self.port = free_port()
        self.leads = True
        self.generation = 1
        self.cluster = MemoryCluster(lambda: datetime.now(UTC))
        self._certificates = certificates
        self._reconciles = deployment is not None
        self._uid = self.cluster.add(deployment or routed_deployment(1, stable=100))["metadata"]["uid"]
        self.tokens = {name: TOKEN + "-again" * number for number, name in enumerate(routers)}
        for name, token in self.tokens.items():
            pod = self.cluster.add(pod_of_deployment(name, component="router"))
            self.cluster.tokens[token] = TokenIdentity(
                username="system:serviceaccount:team-a:default", pod_name=name, pod_uid=pod["metadata"]["uid"]
            )
        self._operator: _OperatorOfThisMachine | None = None
        self._ports: PodPorts | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def heard(self) -> list[RouterReport]:
        """What routers reported to this operator, one report after another."""
        assert self._operator is not None
        return list(self._operator.heard)

    def change(self, do: Any) -> None:
        """Change the cluster where the operator runs."""
        self._call(lambda: do(self.cluster))

    @property
    def report(self) -> RouterReport:
        """What the router has reported last to this operator; of generation 0, if it has not reported."""
        assert self._operator is not None
        return next(iter(self._operator.store.router_reports(self._uid)), RouterReport(router="", in_force=0))

    def write_status(self, *, generation: int | None = None, **weights: int) -> int:
        """Write the status of the next generation, as the reconciler does; return the generation. weights: by revision, the newest first."""
        self.generation = generation or self.generation + 1
        status = routed_deployment(self.generation, **weights)["status"]
        status["rollout"]["stable"] = list(weights)[-1]
        self._call(
            lambda: self.cluster.change(self.cluster.objects["ModelDeployment", "team-a", "reviews"], status=status)
        )
        return self.generation

    def step_down(self) -> None:
        """Lead no more."""
        self.leads = False
        assert self._ports is not None
        self._call(self._ports.routers.look_again)

    @contextlib.contextmanager
    def serving(self) -> Iterator[RoutingOperator]:
        """Run a new operator that has read the cluster."""
        loop, ready, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._certificates / "own.crt", self._certificates / "own.key")

        async def serve() -> None:
            self._operator = _OperatorOfThisMachine(
                self.addresses, cluster=self.cluster, settings=OperatorSettings(), clock=lambda: datetime.now(UTC)
            )
            api: Any = self.cluster
            self._ports = PodPorts(operator=self._operator, api=api, settings=SETTINGS, leads=lambda: self.leads)
            self.cluster.watchers[:] = [self._operator.on_event]
            for manifest in list(self.cluster.objects.values()):
                self._operator.on_event("ADDED", manifest)
            app = self._ports.routers.application()
            async with served(app, port=self.port, tls=tls, limits=ROUTER_LIMITS):
                running = [asyncio.create_task(self._operator.run())] if self._reconciles else []
                ready.set()
                await end.wait()
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        assert ready.wait(_SECONDS)
        self._loop = loop
        try:
            yield self
        finally:
            self._loop = None
            loop.call_soon_threadsafe(end.set)
            thread.join(_SECONDS)

    def _call(self, function: Any) -> None:
        """Call a function where the operator runs, or here if it does not."""
        if self._loop is None:
            function()
        else:
            self._loop.call_soon_threadsafe(function)
