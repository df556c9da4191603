"""The comparator of a deployment as a process of this machine, beside two small servers; the operator's own poller reads what it counts."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from comparator_process import send_all
from compared_node import CANARY, STABLE, compared, pod_of, port_of, ready_pod
from local_node import alive, eventually, log_of, play

from tuneloop_api.contract.comparison import ComparisonCounts
from tuneloop_cli.commands.logs import print_logs
from tuneloop_cli.local.node import LocalNode
from tuneloop_operator.comparators.client import ComparatorClient
from tuneloop_operator.comparators.poller import ComparatorPoller
from tuneloop_operator.comparators.turns import Turns
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

COPY = json.dumps({"inputs": "a fine film"}).encode()


class Observed:
    """What an operator that decides nothing knows of the comparator."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def counts(self) -> ComparisonCounts | None:
        deployment = self.operator.store.get("ModelDeployment", namespace="default", name="reviews")
        reply = deployment and self.operator.store.comparison(deployment["metadata"]["uid"])
        return ComparisonCounts.from_wire(reply.document) if reply and reply.document else None

    async def counts_once(self, holds: Callable[[ComparisonCounts], bool], what: str) -> ComparisonCounts:
        found = await eventually(lambda: (counts := self.counts()) is not None and holds(counts) and counts, what)
        assert found
        return found


@asynccontextmanager
async def polled(node: LocalNode) -> AsyncIterator[Observed]:
    operator = Operator(cluster=node.cluster, settings=OperatorSettings(local=True), clock=lambda: datetime.now(UTC))
    node.listen(operator.on_event)
    async with ComparatorClient() as client:
        poller = ComparatorPoller(operator=operator, client=client, local=True, turns=Turns(every=0.2))
        running = asyncio.create_task(poller.run())
        try:
            yield Observed(operator)
        finally:
            running.cancel()


def test_it_compares_both_revisions_and_the_operator_reads_its_counts(tmp_path, capsys):
    async def story(node):
        await compared(node, tmp_path, rows=30)
        async with polled(node) as found:
            pod = await ready_pod(node, "comparator")
            replayed = await found.counts_once(
                lambda counts: counts.golden and counts.golden.completed == 1, "a replay"
            )
            assert (replayed.deployment, replayed.stable, replayed.canary) == ("reviews", STABLE, CANARY)
            labelled = replayed.golden.last_labelled
            assert (labelled.rows, labelled.canary_only, labelled.stable_only) == (30, 30, 0)
            assert await send_all(port_of(pod), [COPY] * 40) == [202] * 40
            live = (await found.counts_once(lambda counts: counts.live.rows == 40, "40 pairs")).live
            assert (live.disagree, live.stable_failed, live.canary_failed) == (40, 0, 0)
            print_logs("reviews", folder=tmp_path, stage="comparator", follow=False)
            assert f"comparing {CANARY} with {STABLE}" in capsys.readouterr().out
            return pod

    pod = play(tmp_path, story)
    assert alive([pod["metadata"]["uid"]]) == set()


def test_it_waits_for_both_revisions_and_says_for_which(tmp_path):
    async def story(node):
        await compared(node, tmp_path, rows=1)
        await node.cluster.apply(scaled(node, CANARY, 0))
        wait = f"Service reviews-{CANARY}.default.svc has no ready pod"

        def waits():
            states = (pod_of(node, "comparator") or {}).get("status", {}).get("containerStatuses", [{}])
            return states[0].get("state", {}).get("waiting", {}).get("message") == wait

        await eventually(waits, "the comparator waits for the canary")
        await node.cluster.apply(scaled(node, CANARY, 1))
        await ready_pod(node, "comparator")

    play(tmp_path, story)


def test_a_revision_that_comes_back_at_another_port_is_asked_there(tmp_path):
    async def story(node):
        await compared(node, tmp_path, rows=1)
        async with polled(node) as found:
            pod = await ready_pod(node, "comparator")
            first = await found.counts_once(lambda counts: counts.golden.completed == 1, "the first replay")
            before = port_of(await ready_pod(node, CANARY))
            await node.cluster.apply(scaled(node, CANARY, 0))
            await eventually(lambda: pod_of(node, CANARY) is None, "the canary's server has ended")
            await node.cluster.apply(scaled(node, CANARY, 1))
            assert port_of(await ready_pod(node, CANARY)) != before
            again = await found.counts_once(
                lambda counts: counts.started_at != first.started_at and counts.golden.completed == 1,
                "a replay by a new process",
            )
            assert again.golden.last_pairs.canary_failed == 0
            now = await ready_pod(node, "comparator")
            assert now["metadata"]["uid"] == pod["metadata"]["uid"]
            assert port_of(now) == port_of(pod)

    play(tmp_path, story)


@pytest.mark.parametrize("annotation", ["tuneloop.dev/local-url", "tuneloop.dev/local-metrics-url"])
def test_no_page_of_a_browser_reaches_its_ports(tmp_path, annotation):
    async def story(node):
        await compared(node, tmp_path, rows=1)
        url = (await ready_pod(node, "comparator"))["metadata"]["annotations"][annotation]
        assert url.startswith("http://127.0.0.1:")
        rebound = {"host": "rebound.example", "content-type": "application/json"}
        async with httpx.AsyncClient() as client:
            assert (await client.post(f"{url}/predict", content=COPY, headers=rebound)).status_code == 403
            form = {"content-type": "text/plain"}
            assert (await client.post(f"{url}/predict", content=COPY, headers=form)).status_code == 415

    play(tmp_path, story)


def test_it_ends_with_the_session_and_the_next_session_begins_without_it(tmp_path):
    async def whole():
        async with LocalNode(tmp_path) as node:
            node.start()
            await compared(node, tmp_path, rows=1)
            uid = (await ready_pod(node, "comparator"))["metadata"]["uid"]
            log = log_of(tmp_path, pod_of(node, "comparator"))
        assert "Traceback" not in log.read_text()
        async with LocalNode(tmp_path) as node:
            kinds = {kind: [found["metadata"]["name"] for found in node.cluster.all(kind)] for kind in ("Deployment", "ConfigMap")}  # fmt: skip
        return uid, kinds

    uid, kinds = asyncio.run(whole())
    assert alive([uid]) == set()
    assert kinds["Deployment"] == [f"reviews-{STABLE}", f"reviews-{CANARY}"]
    assert not any("comparator" in name for name in kinds["ConfigMap"])


def scaled(node: LocalNode, revision: str, replicas: int) -> dict[str, Any]:
    stored = node.cluster.peek(kind="Deployment", namespace="default", name=f"reviews-{revision}")
    return stored | {"spec": stored["spec"] | {"replicas": replicas}}
