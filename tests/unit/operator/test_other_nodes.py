"""Which nodes the next attempt gets: bad nodes are avoided, and a gang without room goes on with fewer nodes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from gang_attempts import fail, run_config, run_next, termination_message, unplaced

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


@pytest.mark.parametrize(
    ("kinds", "avoided"),
    [
        pytest.param(["NodeLost"], ["node-1"], id="a lost node, at once"),
        pytest.param(["Hang"], None, id="one hang may be chance"),
        pytest.param(["Hang", "Hang"], ["node-1"], id="two hangs on one node are not"),
        pytest.param(["Unknown", "Hang"], ["node-1"], id="nor are a crash and a hang"),
        pytest.param(["OutOfMemoryGpu", "OutOfMemoryGpu"], None, id="the job's own fault is not the node's"),
    ],
)
def test_a_node_on_which_the_job_fails_again_and_again_is_avoided(
    harness: OperatorHarness, kinds: list[str], avoided: list[str] | None
) -> None:
    async def life() -> None:
        await harness.train()
        for attempt, kind in enumerate(kinds, 1):
            await fail(harness, f"reviews-a{attempt}", kind)
            await run_next(harness)
        names = [node["name"] for node in harness.status.get("avoidedNodes", ())] or None
        assert names == avoided

    asyncio.run(life())


async def hang_beside_silence(harness: OperatorHarness) -> None:
    """Let one pod of a gang fail with a hang, while the pod on the other node does not end."""
    await harness.train()
    harness.cluster.change(harness.cluster.of_kind("Pod")["reviews-a1-1"], spec={"nodeName": "node-2"})
    harness.end_pod("reviews-a1-0", exit_code=75, message=termination_message("Hang"))
    harness.end_job("reviews-a1", "FailureTarget")
    await harness.settle()


def test_a_node_that_dies_without_a_word_is_blamed_and_not_the_one_that_waited_for_it(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await hang_beside_silence(harness)
        await harness.settle(later=80)
        assert "failure" not in harness.status
        lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
        harness.cluster.change(
            harness.cluster.of_kind("Pod")["reviews-a1-1"], status={"phase": "Running", "conditions": [lost]}
        )
        await harness.settle()
        assert (harness.status["failure"]["class"], harness.status["failure"]["node"]) == ("NodeLost", "node-2")
        assert (harness.status["restarts"]["disruption"], harness.status["restarts"].get("failure", 0)) == (1, 0)

    asyncio.run(life())


def test_a_silence_that_lasts_delays_the_report_of_a_hang_for_a_while_only(harness: OperatorHarness) -> None:
    async def life() -> None:
        await hang_beside_silence(harness)
        await harness.settle(later=91)
        assert (harness.status["failure"]["class"], harness.status["failure"]["node"]) == ("Hang", "node-1")

    asyncio.run(life())


def test_a_bad_node_is_better_than_none(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        await fail(harness, "reviews-a1", "NodeLost", later=0)
        unplaced(harness, "reviews-a2", 0, 1)
        await harness.settle(later=59)
        assert harness.status["attempt"] == 2
        await harness.settle(later=2)
        await harness.settle(later=60)
        assert (harness.status["attempt"], harness.status["avoidedNodes"]) == (3, [])
        assert harness.status["history"][-1]["reason"] == "NodesReadmitted"
        assert harness.status["restarts"]["total"] == 1

    asyncio.run(life())


SMALL = {"minNodes": 1, "shrinkAfter": "5m"}


def test_a_gang_without_room_goes_on_smaller_and_grows_back_at_the_next_restart(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL)
        unplaced(harness, "reviews-a1", 1)
        await harness.settle(later=299)
        assert harness.status["attempt"] == 1
        await harness.settle(later=2)
        await harness.settle(later=60)
        assert harness.status["history"][-1]["reason"] == "Shrunk"
        assert (harness.status["nodes"], harness.status.get("restarts")) == (1, None)
        gang = harness.cluster.of_kind("Job")["reviews-a2"]
        assert (gang["spec"]["completions"], gang["spec"]["parallelism"]) == (1, 1)
        assert run_config(harness, "reviews-a2")["settings"]["gang"]["nodes"] == 1
        await run_next(harness)
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "1/1")
        await fail(harness, "reviews-a2", "Hang", code=75)
        assert harness.cluster.of_kind("Job")["reviews-a3"]["spec"]["completions"] == 2

    asyncio.run(life())


def test_a_gang_whose_pods_are_refused_goes_on_smaller(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL)
        uid = harness.cluster.of_kind("Job")["reviews-a1"]["metadata"]["uid"]
        harness.cluster.refused_pods[uid] = "pods is forbidden: exceeded quota: few"
        await harness.settle(later=11)
        await harness.settle(later=280)
        assert harness.status["attempt"] == 1
        await harness.settle(later=10)
        await harness.settle(later=60)
        assert harness.status["history"][-1]["reason"] == "Shrunk"
        assert harness.cluster.of_kind("Job")["reviews-a2"]["spec"]["completions"] == 1

    asyncio.run(life())


def test_a_gang_never_gets_smaller_than_its_least_nodes(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL | {"minNodes": 2})
        unplaced(harness, "reviews-a1", 0, 1)
        await harness.settle(later=1700)
        assert (harness.status["attempt"], harness.status["phase"]) == (1, "Queued")

    asyncio.run(life())
