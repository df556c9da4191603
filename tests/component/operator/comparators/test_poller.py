"""The operator asks comparators by itself: what they say is in what is observed, and wakes the reconciliation."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from comparator_counts import counts, live_counts
from memory_cluster import MemoryCluster
from operator_harness import START
from prometheus_servers import Servers, replying, with_servers
from routed_manifests import pod_of_deployment, routed_deployment
from waiting import eventually

from tuneloop_api.contract.comparison import ComparisonCounts, GoldenCounts
from tuneloop_operator.comparators.client import ComparatorClient
from tuneloop_operator.comparators.poller import ComparatorPoller
from tuneloop_operator.comparators.turns import Turns
from tuneloop_operator.controller.observe.model_deployment import observe
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import Facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tuneloop_operator.state.gate_inputs import ComparatorReply

Manifest = dict[str, Any]
SECONDS = 20


def comparator(name: str, address: str) -> list[Manifest]:
    """Return a ModelDeployment of `team-a`, and the Deployment and pod of its comparator in local mode."""
    owner = routed_deployment(1, uid=f"u-{name}")
    owner["metadata"]["name"] = name
    labels = {"tuneloop.dev/deployment": name, "tuneloop.dev/component": "comparator"}
    reference = {"kind": "ModelDeployment", "name": name, "uid": f"u-{name}", "controller": True}
    metadata = {"name": f"{name}-comparator", "namespace": "team-a", "uid": f"u-{name}-c", "resourceVersion": "1"}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata | {"labels": labels, "ownerReferences": [reference]},
    }
    pod = pod_of_deployment(f"{name}-comparator-x", deployment=name, component="comparator")
    pod["metadata"]["annotations"] = {"tuneloop.dev/local-metrics-url": address}
    return [owner, made, pod]


class Asking:
    """An operator that nobody lets work, and its poller."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.leads = True
        self.looks = 0
        """How often the poller asked whether it leads."""
        self.operator = Operator(
            cluster=MemoryCluster(lambda: START), settings=OperatorSettings(local=True), clock=lambda: START
        )

    def may_ask(self) -> bool:
        self.looks += 1
        return self.leads

    def add(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            self.operator.store.put(manifest)

    def reply(self, name: str = "reviews") -> ComparatorReply | None:
        """Return what is observed of the comparator of a deployment."""
        manifest = self.operator.store.get("ModelDeployment", namespace="team-a", name=name)
        return None if manifest is None else observe(self.operator.store, manifest, Facts()).comparison

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        async def found() -> Any:
            return holds()

        await eventually(found, seconds=SECONDS, what=what)


@asynccontextmanager
async def asking(*, seconds: float = 20.0, **turns: Any) -> AsyncIterator[Asking]:
    found = Asking(Turns(**{"every": 0.1} | turns))
    async with ComparatorClient(seconds=seconds) as client:
        poller = ComparatorPoller(
            operator=found.operator,
            client=client,
            local=True,
            leads=found.may_ask,
            acts_in=lambda namespace: namespace == "team-a",
            turns=found.turns,
        )
        running = asyncio.create_task(poller.run())
        try:
            yield found
        finally:
            running.cancel()


def saying(found: ComparisonCounts) -> Any:
    return replying(text=json.dumps(found.to_wire()), content_type="application/json")


async def never(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")


def test_what_a_comparator_counts_is_observed_and_wakes_the_reconciliation_once():
    async def life(servers: Servers) -> None:
        address = await servers.answering(saying(live_counts(7)))
        async with asking() as found:
            found.add(*comparator("reviews", address))
            await found.until(found.reply, "a reply")
            assert found.reply().document == live_counts(7).to_wire()
            assert found.operator.depth == 1
            assert await found.operator._queue.get() is not None  # as a worker takes it
            before = len(servers.asked.requests)
            await found.until(lambda: len(servers.asked.requests) > before + 1, "further requests")
            assert found.operator.depth == 0, "the same counts are no news"

    with_servers(life)


def test_a_comparator_that_fails_is_a_problem_and_is_asked_again():
    answers = [replying(status=503, text=""), saying(live_counts(1))]

    async def change(request: web.Request) -> web.Response:
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    async def life(servers: Servers) -> None:
        address = await servers.answering(change)
        async with asking() as found:
            found.add(*comparator("reviews", address))
            await found.until(found.reply, "a problem")
            assert found.reply().problem == f"the comparator at {address}: HTTP 503"
            await found.until(lambda: found.reply().document, "the counts")

    with_servers(life)


def test_comparators_that_hang_keep_no_other_from_being_asked():
    async def life(servers: Servers) -> None:
        hangs, answers = await servers.answering(never), await servers.answering(saying(live_counts(1)))
        async with asking(most=4, most_of_namespace=3, seconds=1.0) as found:
            for number in range(3):
                found.add(*comparator(f"hangs-{number}", hangs))
            found.add(*comparator("reviews", answers))
            await found.until(found.reply, "the reply of the one that answers")
            await found.until(lambda: found.reply("hangs-0"), "the problem of one that hangs")
            assert found.reply("hangs-0").problem == f"the comparator at {hangs}: no answer within 1 s"

    with_servers(life)


def test_who_leads_no_more_forgets_what_was_said():
    async def life(servers: Servers) -> None:
        address = await servers.answering(saying(live_counts(1)))
        async with asking() as found:
            found.add(*comparator("reviews", address))
            await found.until(found.reply, "a reply")
            found.leads = False
            await found.until(lambda: found.reply() is None, "it is forgotten")

    with_servers(life)


def test_who_does_not_lead_asks_nobody():
    async def life(servers: Servers) -> None:
        address = await servers.answering(saying(live_counts(1)))
        async with asking() as found:
            found.leads = False
            found.add(*comparator("reviews", address))
            before = found.looks
            await found.until(lambda: found.looks >= before + 3, "three looks")
            assert servers.asked.requests == []

    with_servers(life)


def test_an_answer_that_comes_after_its_comparator_is_gone_is_dropped():
    answer = asyncio.Event()

    async def late(_: web.Request) -> web.Response:
        await answer.wait()
        return web.json_response(live_counts(1).to_wire())

    async def life(servers: Servers) -> None:
        address = await servers.answering(late)
        async with asking() as found:
            owner, made, pod = comparator("reviews", address)
            found.add(owner, made, pod)
            await found.until(lambda: servers.asked.requests, "it is asked")
            found.operator.store.remove(made)
            answer.set()
            await found.until(lambda: not found.turns._running, "it has answered")
            assert found.reply() is None

    with_servers(life)


@pytest.mark.parametrize("wants", [True, None])
def test_a_roll_out_that_wants_golden_requests_has_them_asked_for(wants):
    times = []

    async def handle(request: web.Request) -> web.Response:
        if request.method == "POST":
            times.append((await request.json())["times"])
            return web.json_response({}, status=202)
        return web.json_response(counts(golden=GoldenCounts(rows=3, wanted=1, completed=1)).to_wire())

    async def life(servers: Servers) -> None:
        address = await servers.answering(handle)
        async with asking() as found:
            owner, *rest = comparator("reviews", address)
            owner["status"]["rollout"]["replays"] = wants
            found.add(owner, *rest)
            await found.until(found.reply, "a reply")
            await found.until(lambda: len(servers.asked.requests) > 3, "further requests")
            assert set(times) == ({2} if wants else set())

    with_servers(life)


def test_a_defect_that_a_reply_triggers_ends_nothing(monkeypatch):
    async def life(servers: Servers) -> None:
        address = await servers.answering(saying(live_counts(1)))
        async with asking() as found:
            taken, calls = found.operator.comparator_said, []

            def fails_once(*arguments: Any) -> None:
                calls.append(arguments)
                if len(calls) == 1:
                    raise RuntimeError("a defect")
                taken(*arguments)

            monkeypatch.setattr(found.operator, "comparator_said", fails_once)
            found.add(*comparator("reviews", address))
            await found.until(found.reply, "a reply after the defect")

    with_servers(life)
