"""A router and the operator's own server: a split is in force soon after the operator wants it, and a refusal comes back."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from router_process import running, settings_file
from waiting import until

from tuneloop_api.contract.router import RouterSplit, split_path
from tuneloop_operator.controller.router_reports import RouterReports
from tuneloop_operator.routers.local_routers import LocalRouters
from tuneloop_operator.routers.server import RouterServer
from tuneloop_operator.serving import served
from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "s3cret"


class Operator:
    """The operator's server in a thread of its own, for one deployment."""

    def __init__(self) -> None:
        self.port = 0
        self.split: RouterSplit | None = None
        self._reports = RouterReports()
        self._server = RouterServer(
            authenticator=LocalRouters(TOKEN),
            split_of=lambda namespace, name: self.split if (namespace, name) == ("team", "reviews") else None,
            on_report=lambda _namespace, _name, report: self._reports.put("uid", report) and None,
        )
        self._loop = asyncio.new_event_loop()

    @property
    def report(self) -> RouterReport:
        """What the router has reported last."""
        return next(iter(self._reports.of("uid")), RouterReport(router="", in_force=0))

    def publish(self, split: dict) -> None:
        self.split = RouterSplit.from_wire(split)
        self._loop.call_soon_threadsafe(self._server.changed, "team", "reviews")

    @contextlib.contextmanager
    def serving(self, certificates: Path) -> Iterator[Operator]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificates / "own.crt", certificates / "own.key")
        ready, end = threading.Event(), asyncio.Event()

        async def serve() -> None:
            async with served(self._server.application(), port=0, tls=tls) as self.port:
                ready.set()
                await end.wait()

        thread = threading.Thread(target=self._loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        assert ready.wait(20)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(end.set)
            thread.join(20)


@pytest.fixture(scope="module")
def operator(certificates) -> Iterator[Operator]:
    with Operator().serving(certificates) as operator:
        yield operator


@pytest.fixture(scope="module")
def router(operator, models, certificates, tmp_path_factory):
    operator.publish(models.split(generation=2, stable=100))
    folder = tmp_path_factory.mktemp("router")
    (folder / "token").write_text(TOKEN)
    follows = {
        "url": f"https://localhost:{operator.port}{split_path('team', 'reviews')}",
        "caPath": str(certificates / "own.crt"),
        "tokenPath": str(folder / "token"),
    }
    with running(settings_file(folder, models.split(canary=100), operator=follows)) as router:
        until(lambda: operator.report.in_force == 2, seconds=20, what="the first split is in force", pause=0.005)
        yield router


def test_a_split_is_in_force_and_reported_within_a_second(operator, models, router):
    assert router.get()[1]["x-tuneloop-revision"] == "stable"
    operator.publish(models.split(generation=3, canary=100))
    until(lambda: operator.report.in_force == 3, seconds=1, what="the next split is in force", pause=0.005)
    assert router.get()[1]["x-tuneloop-revision"] == "canary"


def test_a_router_that_refuses_a_split_says_why_and_is_not_asked_again(operator, models, router):
    in_force = operator.report.in_force
    operator.publish(models.split(generation=10, stable=90))
    until(lambda: operator.report.refused == 10, seconds=10, what="the split is refused", pause=0.005)
    assert "the sum of the weights is 90; allowed: 100" in operator.report.reason
    assert operator.report.in_force == in_force
    operator.publish(models.split(generation=11, stable=100))
    until(lambda: operator.report.in_force == 11, seconds=10, what="a good split follows", pause=0.005)
    assert operator.report.refused is None


def test_a_reason_of_any_length_reaches_the_operator(operator, models, router):
    split = models.split(generation=20, stable=100)
    split["revisions"][0]["host"] = "é" * 8_000
    operator.publish(split)
    until(lambda: operator.report.refused == 20, seconds=10, what="the split is refused", pause=0.005)
    assert operator.report.reason
