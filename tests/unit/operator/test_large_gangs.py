"""What the size of a gang must not cost."""

from __future__ import annotations

import asyncio
from typing import Any

NODES = 8
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def test_pods_that_come_up_one_after_another_do_not_cost_a_write_each(bed: Any) -> None:
    async def life() -> None:
        bed.submit(resources={"nodes": NODES, "gpusPerNode": 0})
        await bed.settle()
        bed.succeed("reviews-prepare")
        await bed.settle()
        bed.start_pods("reviews-a1")
        pods = [pod for name, pod in bed.cluster.of_kind("Pod").items() if name.startswith("reviews-a1-")]
        for pod in pods:
            bed.cluster.change(pod, status={"phase": "Running"})
        await bed.settle()
        before = len(bed.cluster.writes)
        for pod in pods:
            bed.cluster.change(pod, status=READY)
            await bed.settle()
        assert (bed.status["phase"], bed.status["workers"]) == ("Running", f"{NODES}/{NODES}")
        assert len(bed.cluster.writes) - before == 2  # the first count, and that it runs

    asyncio.run(life())
