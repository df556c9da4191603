"""Retraining in which anything happens: whatever it is, there is one run at a time, no storm, and one history."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from retrained_in_memory import HOUR, Retrained
from retraining_walks import walk_all

if TYPE_CHECKING:
    from collections.abc import Iterable


async def _told(lost: int) -> tuple[list[str], list[dict[str, Any]], int]:
    """Return the jobs, the history without times, and the number of writes of a story. lost: number of the write after which the operator is killed; its answer is lost."""
    deployed = Retrained()
    await deployed.begin()
    cluster = deployed.harness.cluster
    first = len(cluster.writes)
    cluster.fail_write = first + lost

    async def wait() -> None:
        await deployed.settle(later=HOUR)

    prepare = partial(deployed.prepare, "d2")
    for step in (deployed.ask, prepare, deployed.learn, deployed.publish, deployed.serve, wait):
        await step()
        if len(cluster.writes) > first + lost:
            await deployed.restart()
    await deployed.settle(later=HOUR)
    history = [{key: run[key] for key in ("job", "outcome", "key", "dataDigest")} for run in deployed.loop["history"]]
    return deployed.created, history, len(cluster.writes) - first


def test_an_operator_that_is_killed_after_any_write_goes_on_with_the_same_run() -> None:
    async def life() -> None:
        jobs, history, writes = await _told(1000)
        assert (len(jobs), [run["outcome"] for run in history]) == (1, ["Promoted"])
        assert writes > 10
        for lost in range(writes):
            assert (await _told(lost))[:2] == (jobs, history), f"write {lost}"

    asyncio.run(life())


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 200), marks=pytest.mark.full)], ids=["few", "many"])
def test_whatever_happens_there_is_one_run_no_storm_and_all_ends_well(seeds: Iterable[int]) -> None:
    walk_all(seeds)
