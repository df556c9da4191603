"""The metrics of the operator itself, in a registry of its own, and of its objects."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster.transport import Call

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one process; implements the operator's `Instruments`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._of_objects: Callable[[], str] = lambda: ""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        build = Gauge("tuneloop_build_info", "Always 1; the labels say what runs.", ["version"], registry=self.registry)
        build.labels(_version()).set(1)
        self._leader = Gauge("tuneloop_leader", "1 while this process leads.", registry=self.registry)
        self._foreign = Gauge(
            "tuneloop_foreign_namespaces", "Namespaces that another release holds.", registry=self.registry
        )
        self._polls = Gauge("tuneloop_router_polls", "Polls of routers that wait.", registry=self.registry)
        self._queries = self._counter(
            "tuneloop_prometheus_queries", "Queries of gates; Number, NoData or Error.", "result"
        )
        for result in ("Number", "NoData", "Error"):
            self._queries.labels(result)
        self._depth = Gauge("tuneloop_work_queue_depth", "Objects that wait for a worker.", registry=self.registry)
        self._waited = self._histogram("tuneloop_work_queue_wait_seconds", "From due to taken by a worker.")
        self._reconciles = self._histogram("tuneloop_reconcile_seconds", "Work on one object.", "kind")
        self._errors = self._counter("tuneloop_reconcile_errors", "Work that did not go well.", "kind", "error")
        self._calls = self._counter(
            "tuneloop_api_calls", "Requests to the API server; code 0: no answer.", "verb", "resource", "code"
        )
        self._call_seconds = self._histogram(
            "tuneloop_api_call_seconds", "Requests to the API server.", "verb", "resource"
        )

    def watch_depth(self, depth: Callable[[], int]) -> None:
        """Ask `depth` at each scrape."""
        self._depth.set_function(depth)

    def watch_router_polls(self, count: Callable[[], int]) -> None:
        """Ask `count` at each scrape."""
        self._polls.set_function(count)

    def watch_leader(self, leads: Callable[[], bool]) -> None:
        """Ask `leads` at each scrape."""
        self._leader.set_function(leads)

    def watch_foreign_namespaces(self, count: Callable[[], int]) -> None:
        """Ask `count` at each scrape."""
        self._foreign.set_function(count)

    def watch_objects(self, text: Callable[[], str]) -> None:
        """Append this text, the metrics of all objects, at each scrape."""
        self._of_objects = text

    def taken(self, *, waited: float) -> None:
        """Count an object that a worker took, and that had been due for so many seconds."""
        self._waited.observe(waited)

    def reconciled(self, kind: str, *, seconds: float, error: Exception | None) -> None:
        """Count the reconciliation of an object of this kind."""
        self._reconciles.labels(kind).observe(seconds)
        if error is not None:
            self._errors.labels(kind, type(error).__name__).inc()

    def called(self, call: Call) -> None:
        """Count a request to the API server."""
        self._calls.labels(call.verb, call.resource, str(call.code)).inc()
        self._call_seconds.labels(call.verb, call.resource).observe(call.seconds)

    def queried(self, result: str) -> None:
        """Count a query of a gate by its result: Number, NoData or Error."""
        self._queries.labels(result).inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry) + self._of_objects().encode()

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)


def _version() -> str:
    try:
        return version("tuneloop")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
