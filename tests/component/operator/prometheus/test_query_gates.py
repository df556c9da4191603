"""The whole way of a gate with a query: what the spec says, what a real Prometheus answers, and what the gate asks for. Minutes pass as the test says."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_servers import Servers
from query_walks import BEGAN, CANARY, STABLE
from scraped_numbers import require_prometheus, scraped

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.queries import Queries
from tuneloop_operator.decide.model_deployment.query_gates import query_gates_of
from tuneloop_operator.decide.model_deployment.query_readings import query_results
from tuneloop_operator.prometheus.door import Place, PrometheusDoor
from tuneloop_operator.prometheus.query import equals, written

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gate_readings import GateReading
    from tuneloop_operator.prometheus.answer import Answer
    from tuneloop_operator.prometheus.query import PromQL
    from tuneloop_operator.state.gate_inputs import QueryAnswer

QUERY = 'max(truncated_ratio{deployment="{{deployment}}",revision="{{revision}}"})'


@pytest.fixture(scope="module")
def ratio():
    registry = CollectorRegistry()
    gauge = Gauge("truncated_ratio", "The number that a gate is about.", ["deployment", "revision"], registry=registry)
    gauge.registry_of_test = registry
    return gauge


@pytest.fixture(scope="module")
def numbers(tmp_path_factory, ratio):
    require_prometheus()
    with scraped(tmp_path_factory.mktemp("prometheus"), ratio.registry_of_test) as found:
        found.prometheus.targets([Target(address=found.address, namespace="team-a", deployment="reviews")])
        yield found


def show(numbers, ratio, deployment: str, *, canary: float, stable: float) -> None:
    """Let the revisions have these numbers, and return once Prometheus has them."""
    for revision, value in ((CANARY, canary), (STABLE, stable)):
        ratio.labels(deployment=deployment, revision=revision).set(value)
    for revision, value in ((CANARY, canary), (STABLE, stable)):
        labels = f"{equals('deployment', deployment)},{equals('revision', revision)}"
        numbers.until(written(f"truncated_ratio{{{labels}}} == {value}", {}))


class Judged:
    """A deployment with one gate, whose canary is in a step."""

    def __init__(self, name: str, *, query: str = QUERY, compare: str = "Stable") -> None:
        gate = {"name": "truncated", "query": query, "margin": 0.1, "compare": compare}
        weights = [{"revision": CANARY, "weight": 25}, {"revision": STABLE, "weight": 75}]
        rollout = {
            "strategy": "Canary",
            "phase": "Progressing",
            "stable": STABLE,
            "canary": CANARY,
            "step": 1,
            "split": {"generation": 3, "weights": weights},
            "stepStartedAt": "2026-11-29T12:00:00Z",
        }
        self.manifest: Any = {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": "team-a", "uid": name, "resourceVersion": "1"},
            "spec": {"model": {"uri": "pvc://models/artifact"}, "rollout": {"gates": [gate]}},
            "status": {"rollout": rollout},
        }
        self.store = new_store()
        self.store.put(self.manifest)
        self.now = BEGAN
        self.reading: GateReading | None = None

    def query_answered(self, manifest: Any, gate: str, answers: tuple[QueryAnswer, ...]) -> None:
        self.store.query_answers.put(manifest["metadata"]["uid"], gate, answers)

    async def minutes(self, number: int, ask: Any) -> str:
        """Let minutes pass, with a round of questions in each; return what the gate asks for."""
        queries = Queries(self, ask=ask, clock=lambda: self.now)
        for _ in range(number):
            self.now += timedelta(minutes=1)
            async with asyncio.TaskGroup() as group:
                await queries.begin_round(group)
            self.read()
        assert self.reading is not None
        return self.reading.summary.action.value

    def read(self) -> None:
        (self.reading,) = query_results(
            query_gates_of(ModelDeployment.from_wire(self.manifest).spec.rollout),
            self.store.query_answers.of(self.manifest["metadata"]["uid"]),
            canary=CANARY,
            stable=STABLE,
            step=1,
            step_began=BEGAN,
            now=self.now,
            memories=[self.reading.memory] if self.reading else [],
        )

    @property
    def reason(self) -> str:
        assert self.reading is not None
        return self.reading.summary.reason


def test_a_canary_that_is_no_worse_advances(numbers, ratio):
    show(numbers, ratio, "equal", canary=0.55, stable=0.5)
    judged = Judged("equal")
    assert numbers.run(judged.minutes(2, numbers.door.ask)) == "Hold"
    assert numbers.run(judged.minutes(1, numbers.door.ask)) == "Advance"
    assert judged.reason == "canary 0.55, stable 0.5: the difference is within the margin 0.1"


def test_a_canary_that_is_worse_is_rolled_back(numbers, ratio):
    show(numbers, ratio, "worse", canary=0.75, stable=0.5)
    judged = Judged("worse")
    assert numbers.run(judged.minutes(2, numbers.door.ask)) == "Hold"
    assert numbers.run(judged.minutes(1, numbers.door.ask)) == "RollBack"


def test_a_canary_that_is_worse_for_one_minute_is_not(numbers, ratio):
    show(numbers, ratio, "spike", canary=0.5, stable=0.5)
    judged = Judged("spike")
    numbers.run(judged.minutes(2, numbers.door.ask))
    show(numbers, ratio, "spike", canary=0.75, stable=0.5)
    assert numbers.run(judged.minutes(1, numbers.door.ask)) == "Hold"
    show(numbers, ratio, "spike", canary=0.5, stable=0.5)
    assert numbers.run(judged.minutes(3, numbers.door.ask)) == "Advance"


def test_series_that_nobody_has_are_no_data(numbers):
    judged = Judged("nowhere")
    assert numbers.run(judged.minutes(6, numbers.door.ask)) == "GiveUp"
    assert "had no data 5 times in a row" in judged.reason
    assert judged.reason.endswith("the query has an empty result")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param(
            'truncated_ratio{deployment="equal"} or up{x="{{revision}}"}', "the result has 2 series", id="many"
        ),
        pytest.param('0 * sum(up{x!="{{revision}}"}) / 0', "NaN", id="NaN"),
        pytest.param('sum(up{x!="{{revision}}"}) +', "parse error", id="no PromQL"),
    ],
)
def test_what_is_no_number_never_advances(numbers, ratio, query, words):
    show(numbers, ratio, "equal", canary=0.55, stable=0.5)
    judged = Judged("odd", query=query)
    assert numbers.run(judged.minutes(6, numbers.door.ask)) == "GiveUp"
    assert words in judged.reason


class Way:
    """A server between door and Prometheus that can be anything."""

    def __init__(self, prometheus: str) -> None:
        self._prometheus = prometheus
        self.mode = "real"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.mode == "garbage":
            return web.Response(text="<html>0</html>", content_type="text/html")
        if self.mode == "down":
            assert request.transport is not None
            request.transport.abort()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self._prometheus}{request.path}", data=await request.post()) as response,
        ):
            return web.Response(body=await response.read(), content_type="application/json")


def test_an_outage_and_garbage_only_hold_and_what_was_counted_before_counts(numbers, ratio):
    show(numbers, ratio, "outage", canary=0.5, stable=0.5)
    judged, way = Judged("outage"), Way(numbers.prometheus.url)

    async def life() -> None:
        async with AsyncExitStack() as stack:
            address = await Servers(stack).answering(way.handle)
            door = await stack.enter_async_context(PrometheusDoor(Place(address=address)))

            async def ask(query: PromQL) -> Answer:
                return await door.ask(query)

            assert await judged.minutes(2, ask) == "Hold"
            way.mode = "down"
            assert await judged.minutes(3, ask) == "Hold"
            assert "the connection ended before the answer" in judged.reason
            way.mode = "garbage"
            assert await judged.minutes(1, ask) == "Hold"
            assert "is it the address of Prometheus?" in judged.reason
            way.mode = "real"
            assert await judged.minutes(1, ask) == "Advance"
            way.mode = "down"
            assert await judged.minutes(1, ask) == "Hold"
            assert await judged.minutes(4, ask) == "GiveUp"

    numbers.run(life())


def test_without_an_address_the_setting_is_named(numbers):
    judged = Judged("unset")

    async def life() -> str:
        async with PrometheusDoor(None) as door:
            return await judged.minutes(1, door.ask)

    assert numbers.run(life()) == "Hold"
    assert "TUNELOOP_PROMETHEUS_URL" in judged.reason
