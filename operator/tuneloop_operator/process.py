"""The operator as a process on an API server: the order in which it starts its parts, and how it ends.

    servers for health and metrics → wait for the API server → are our CRDs there? → watch, servers for pods, election → work while leading

It ends with 0 after SIGTERM or SIGINT, and with 1 if it must not go on. An outage of the API server does not end it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tuneloop_operator.cluster import watch
from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.comparators.client import ComparatorClient
from tuneloop_operator.comparators.poller import ComparatorPoller
from tuneloop_operator.controller.baselines import Baselines
from tuneloop_operator.controller.controllers import CHILD_KINDS, KINDS, metrics_of
from tuneloop_operator.controller.event_recorder import BackgroundEventRecorder
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queries import Queries
from tuneloop_operator.desired.common.endpoint_slice import PROGRESS, ROUTERS, progress_endpoint_slice
from tuneloop_operator.errors import ClusterError, OperatorError
from tuneloop_operator.leader.leader import Leader
from tuneloop_operator.leader.namespaces import NamespaceLeases
from tuneloop_operator.metrics.process import Metrics
from tuneloop_operator.pod_ports import PodPorts
from tuneloop_operator.probes import health_application, metrics_application
from tuneloop_operator.prometheus.door import Place, PrometheusDoor
from tuneloop_operator.routers.server import ROUTER_LIMITS
from tuneloop_operator.serving import allow_open_files, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from tuneloop_operator.progress.tls import ServerCertificate
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.settings.process import ProcessSettings

_LOG = logging.getLogger(__name__)
_FINISH_SECONDS = 0.7
"""For the writes in flight at SIGTERM. The next leader does what is left."""
_RELEASE_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
_OPEN_FILES = 2048
"""All that clients may hold of the four ports is half of it."""
_WATCHED = watch.Watched(ours=KINDS, children=CHILD_KINDS)


class OperatorProcess:
    """One replica of the operator."""

    def __init__(
        self, *, settings: ProcessSettings, decisions: OperatorSettings, certificate: ServerCertificate
    ) -> None:
        self._settings = settings
        self._decisions = decisions
        self._certificate = certificate
        self._metrics = Metrics()
        self._stopping = asyncio.Event()
        self._leading = asyncio.Event()
        self._operator: Operator | None = None
        self._ports: PodPorts | None = None
        self._owned: NamespaceLeases | None = None

    async def run(self) -> int:
        """Return the exit status. Raises NoConfiguration, CannotListen."""
        self._take_signals()
        allow_open_files(_OPEN_FILES)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                served(
                    health_application(is_ready=self._is_ready, remarks=self._remarks), port=self._settings.health_port
                )
            )
            await stack.enter_async_context(
                served(metrics_application(text=self._metrics.text), port=self._settings.metrics_port)
            )
            # the election needs the API server client, and the writes of the client ask the election
            api = await ApiServer.connect(
                may_write=lambda: leader.leads(),  # noqa: PLW0108  (it is made below)
                on_call=self._metrics.called,
            )
            stack.push_async_callback(api.close)
            leader = Leader(
                leases=api,
                namespace=self._settings.pod_namespace,
                name=self._settings.lease_name,
                identity=self._settings.pod_name,
                on_change=self._lead,
            )
            if (status := await self._unless_stopped(self._wait_for_api_server(api))) is not None:
                return status
            return await self._serve(api, leader)

    async def _wait_for_api_server(self, api: ApiServer) -> int | None:
        """Return None once the API server serves our kinds; an exit status if their CRDs are missing."""
        while True:
            await api.wait_until_ready()
            with suppress(ClusterError):  # the API server went away again
                missing = await api.missing_kinds()
                break
        if not missing:
            return None
        _LOG.error(
            "the API server does not serve %s: install Tuneloop's CRDs first (kubectl apply --server-side -f crds/)",
            " and ".join(missing),
        )
        return 1

    async def _serve(self, api: ApiServer, leader: Leader) -> int:
        events = BackgroundEventRecorder(cluster=api, instance=self._settings.pod_name, clock=api.now)
        owned = NamespaceLeases(
            leases=api,
            release=self._settings.release,
            lease_seconds=self._settings.namespace_lease_seconds,
            wall=api.now,
        )
        operator = self._new_operator(api, events, owned)
        operator.pause()
        ports = PodPorts(operator=operator, api=api, settings=self._settings, leads=leader.leads)
        self._operator, self._ports, self._owned = operator, ports, owned
        self._measure(api, operator, leader, owned)
        self._metrics.watch_router_polls(lambda: ports.routers.waiting)
        async with (
            self._serve_pods(ports),
            PrometheusDoor(prometheus_place(self._settings)) as door,
            ComparatorClient() as comparators,
        ):
            queries = Queries(
                operator, ask=door.ask, clock=api.now, leads=leader.leads, on_answer=self._metrics.queried
            )
            baselines = Baselines(
                operator, ask=door.ask_vector, clock=api.now, leads=leader.leads, on_answer=self._metrics.queried
            )
            poller = ComparatorPoller(
                operator=operator,
                client=comparators,
                leads=lambda: leader.leads() and operator.is_complete,
                acts_in=lambda namespace: not owned.holder(namespace),
            )
            work = asyncio.create_task(operator.run(), name="work")
            others = [
                asyncio.create_task(
                    watch.watch(
                        _WATCHED,
                        namespaces=self._settings.namespaces,
                        on_event=operator.on_event,
                        on_list_page=operator.on_list_page,
                        spawned=self._take_signals,
                    ),
                    name="watch",
                ),
                asyncio.create_task(leader.run(), name="election"),
                asyncio.create_task(owned.keep(operator.namespaces, leads=leader.leads), name="namespaces"),
                asyncio.create_task(events.run(), name="events"),
                asyncio.create_task(queries.run(), name="queries"),
                asyncio.create_task(baselines.run(), name="baselines"),
                asyncio.create_task(poller.run(), name="comparators"),
                asyncio.create_task(self._publish_address(api), name="address"),
                asyncio.create_task(self._certificate.keep_fresh(self._use_authority), name="certificate"),
            ]
            status = await self._until_the_end([work, *others])
            operator.stop()
            await asyncio.wait([work], timeout=_FINISH_SECONDS)
            if status == 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(leader.release(), _RELEASE_SECONDS)
            await _cancel([work, *others])
        return status

    @asynccontextmanager
    async def _serve_pods(self, ports: PodPorts) -> AsyncIterator[None]:
        settings, tls = self._settings, self._certificate.context
        async with (
            served(ports.progress.application(), port=settings.progress_port, tls=tls),
            served(ports.routers.application(), port=settings.router_port, tls=tls, limits=ROUTER_LIMITS),
        ):
            yield

    def _new_operator(self, api: ApiServer, events: BackgroundEventRecorder, owned: NamespaceLeases) -> Operator:
        return Operator(
            cluster=api,
            settings=self._decisions,
            clock=api.now,
            workers=self._settings.workers,
            expected=_WATCHED.scopes(self._settings.namespaces),
            events=events,
            instruments=self._metrics,
            ownership=owned,
        )

    def _measure(self, api: ApiServer, operator: Operator, leader: Leader, owned: NamespaceLeases) -> None:
        self._metrics.watch_leader(leader.leads)
        self._metrics.watch_depth(lambda: operator.depth)
        self._metrics.watch_foreign_namespaces(lambda: len(owned.foreign()))
        self._metrics.watch_objects(lambda: metrics_of(operator.store, now=api.now()))

    async def _until_the_end(self, tasks: list[asyncio.Task[None]]) -> int:
        """Return the exit status: 0 after a signal, 1 if one of the tasks has ended."""
        stopped = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if stopped in done:
            return 0
        stopped.cancel()
        for task in tasks:
            if task not in done:
                continue
            error = task.exception()
            expected = isinstance(error, OperatorError)
            _LOG.error("%s has ended: %s", task.get_name(), error, exc_info=None if expected else error)
        return 1

    async def _unless_stopped(self, waiting: Coroutine[None, None, int | None]) -> int | None:
        """Return the result of the coroutine; 0 if a signal comes before it ends."""
        task, stopped = asyncio.create_task(waiting), asyncio.create_task(self._stopping.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            return task.result()
        task.cancel()
        return 0

    def _lead(self, leads: bool) -> None:  # noqa: FBT001  (the shape of `on_change`)
        if self._operator is None or self._ports is None:
            return
        if leads:
            self._operator.resume()
            self._leading.set()
        else:
            self._operator.pause()
            self._ports.routers.look_again()  # so that they ask the next leader

    async def _publish_address(self, api: ApiServer) -> None:
        """Point the Service for pods to this replica, each time that it starts to lead."""
        while True:
            await self._leading.wait()
            self._leading.clear()
            await self._apply_address(api)

    async def _apply_address(self, api: ApiServer) -> None:
        manifest = progress_endpoint_slice(
            namespace=self._settings.pod_namespace,
            service=self._settings.progress_service,
            pod=self._settings.pod_name,
            address=self._settings.pod_ip,
            ports={PROGRESS: self._settings.progress_port, ROUTERS: self._settings.router_port},
        )
        for wait in watch.backoffs():
            try:
                await api.apply(manifest)
            except ClusterError as error:
                _LOG.warning("EndpointSlice %s: %s; again in %.1f s", manifest["metadata"]["name"], error, wait)
                await asyncio.sleep(wait)
            else:
                return

    def _use_authority(self) -> None:
        """Pass the new authority to pods that are created from now on."""
        if self._operator is not None:
            self._operator.use(self._decisions.with_progress_ca(self._certificate.authority))

    def _is_ready(self) -> bool:
        return self._operator is not None and self._operator.is_complete

    def _remarks(self) -> list[str]:
        """Return a line for each namespace that is left alone."""
        foreign = self._owned.foreign() if self._owned is not None else {}
        return [f"namespace {name} is left alone: the release {holder} acts there" for name, holder in foreign.items()]

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)


def prometheus_place(settings: ProcessSettings) -> Place | None:
    """Return where Prometheus is, and what it is asked with; None where the administrator names none."""
    if settings.prometheus_url is None:
        return None
    return Place(
        address=settings.prometheus_url,
        token_file=settings.prometheus_token_file,
        ca_file=settings.prometheus_ca_file,
    )


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
