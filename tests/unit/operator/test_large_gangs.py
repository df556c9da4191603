"""What the size of a gang must not cost."""

from __future__ import annotations

import asyncio

from operator_harness import OperatorHarness

NODES = 8
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def test_pods_that_come_up_one_after_another_do_not_cost_a_write_each(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(resources={"nodes": NODES, "gpusPerNode": 0})
        await harness.settle()
        harness.succeed("reviews-prepare")
        await harness.settle()
        harness.start_pods("reviews-a1")
        pods = [pod for name, pod in harness.cluster.of_kind("Pod").items() if name.startswith("reviews-a1-")]
        for pod in pods:
            harness.cluster.change(pod, status={"phase": "Running"})
        await harness.settle()
        before = len(harness.cluster.writes)
        for pod in pods:
            harness.cluster.change(pod, status=READY)
            await harness.settle()
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", f"{NODES}/{NODES}")
        assert len(harness.cluster.writes) - before == 2  # the first count, and that it runs

    asyncio.run(life())
