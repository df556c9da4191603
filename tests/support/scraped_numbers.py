"""A Prometheus of local mode that scrapes numbers of this process, driven step by step from a test."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, start_http_server
from required import skip_or_fail
from waiting import eventually

from tuneloop_cli.local.errors import NoPrometheus
from tuneloop_cli.local.prometheus.local_prometheus import LocalPrometheus
from tuneloop_cli.local.prometheus.program import cache_folder, find_program
from tuneloop_operator.prometheus.answer import Number
from tuneloop_operator.prometheus.door import Place, PrometheusDoor

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from tuneloop_operator.prometheus.answer import Answer
    from tuneloop_operator.prometheus.query import PromQL

PER_SECOND = 10.0
"""What `ticks_total` grows by."""
SECONDS = 60.0
"""For what takes Prometheus a scrape or two."""


def require_prometheus() -> None:
    """Skip or fail the test where no Prometheus can be had."""
    try:
        find_program(cache_folder(), say=print)
    except NoPrometheus as error:
        skip_or_fail(str(error))


class Scraped:
    """The Prometheus, the door to it, and the numbers of this process."""

    def __init__(self, runner: asyncio.Runner, prometheus: LocalPrometheus, door: PrometheusDoor, address: str) -> None:
        self._runner = runner
        self.prometheus = prometheus
        self.door = door
        self.address = address
        """Of the numbers, for a target."""

    def run(self, life: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the event loop that the door belongs to."""
        return self._runner.run(life)

    def ask(self, query: PromQL) -> Answer:
        """Ask once."""
        answer: Answer = self.run(self.door.ask(query))
        return answer

    def until(self, query: PromQL, kind: type[Any] = Number) -> Any:
        """Ask until the answer is of a kind; return it."""

        async def fitting() -> Any:
            answer = await self.door.ask(query)
            return answer if isinstance(answer, kind) else None

        return self.run(eventually(fitting, seconds=SECONDS, what=f"{kind.__name__} of {query}"))


@contextmanager
def scraped(folder: Path, registry: CollectorRegistry, *, rules: str | None = None) -> Iterator[Scraped]:
    """Serve the numbers of a registry, and `ticks_total`; start a Prometheus without targets, and a door to it. rules: None: our recording rules."""
    started = time.monotonic()
    Gauge("ticks_total", "Grows all the time.", registry=registry).set_function(
        lambda: PER_SECOND * (time.monotonic() - started)
    )
    server, thread = start_http_server(0, "127.0.0.1", registry=registry)
    with asyncio.Runner() as runner:
        prometheus = LocalPrometheus(folder, say=print, scrape_seconds=1, rules=rules)
        runner.run(prometheus.__aenter__())
        door = PrometheusDoor(Place(address=prometheus.url))
        runner.run(door.__aenter__())
        try:
            yield Scraped(runner, prometheus, door, f"127.0.0.1:{server.server_port}")
        finally:
            runner.run(door.__aexit__(None, None, None))
            runner.run(prometheus.__aexit__(None, None, None))
            server.shutdown()
            server.server_close()
            thread.join()
