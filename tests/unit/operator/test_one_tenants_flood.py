"""One tenant stores thousands of objects: what another tenant waits for is counted, and does not grow with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest
from operator_harness import SPEC, START, OperatorHarness

from tuneloop_operator.controller.queue import Key, Schedule
from tuneloop_operator.controller.rate_limiter import RateLimiter

FLOOD = 5000
TENANT = "team-a"
"""The other tenant, as in the harness."""


def keys(namespace: str, count: int) -> list[Key]:
    return [Key("FineTuneJob", namespace, f"job-{number}") for number in range(count)]


@pytest.mark.parametrize("later", [pytest.param(0.0, id="due now"), pytest.param(30.0, id="due again at one moment")])
@pytest.mark.parametrize("worked_off", [0, 1, 2500, 4999])
def test_at_most_one_of_5000_objects_is_taken_before_another_tenants(worked_off: int, later: float) -> None:
    schedule = Schedule()
    for key in keys("flood", FLOOD):
        schedule.add(key, at=later, now=0.0)
    for _ in range(worked_off):
        key = schedule.take(later)
        assert key is not None
        schedule.done(key, later)
    schedule.add(Key("FineTuneJob", TENANT, "reviews"), at=later, now=later)
    taken = [schedule.take(later), schedule.take(later)]
    assert TENANT in {key.namespace for key in taken if key}


def test_of_many_tenants_each_gets_as_many_turns_as_the_flood() -> None:
    schedule = Schedule()
    for key in keys("flood", FLOOD):
        schedule.add(key, at=0.0, now=0.0)
    for tenant in range(20):
        for key in keys(f"tenant-{tenant}", 3):
            schedule.add(key, at=0.0, now=0.0)
    order = [key.namespace for key in iter(lambda: schedule.take(0.0), None)]
    assert order[: 21 * 3].count("flood") == 3
    assert len(order) == FLOOD + 60


def in_namespace(harness: OperatorHarness, namespace: str, name: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    harness.cluster.add(
        {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": SPEC}
    )


def test_the_children_of_another_tenants_job_are_made_among_the_first(harness: OperatorHarness) -> None:
    async def life() -> list[str]:
        for key in keys("flood", 40):
            in_namespace(harness, "flood", key.name)
        harness.submit()
        created: list[str] = []

        def note(type_: str, manifest: dict[str, Any]) -> None:
            if type_ == "ADDED" and manifest["kind"] == "Job":
                created.append(manifest["metadata"]["namespace"])

        harness.cluster.watchers.append(note)
        await harness.settle()
        return created

    created = asyncio.run(life())
    assert len(created) == 41
    assert created.index(TENANT) <= 2  # two workers: each may have one of the flood in hand


def test_a_tenant_whose_job_posts_now_and_then_waits_for_no_flood_of_progress() -> None:
    """200 jobs of one tenant always have something to write. A job that was refused asks again a little later than it was asked to."""
    random, limiter = Random(1), RateLimiter(per_second=5)
    asks = [(0.0, key) for key in [*keys("flood", 200), Key("FineTuneJob", TENANT, "reviews")]]
    since, waits, written = 0.0, list[float](), 0
    while (moment := heappop(asks))[0] < 60.0:
        at, key = moment
        wait = limiter.wait(START + timedelta(seconds=at), namespace=key.namespace)
        if wait == 0.0:
            written += 1
        if wait == 0.0 and key.namespace == TENANT:
            waits.append(at - since)
            since = at + 2.0
        again = since if wait == 0.0 and key.namespace == TENANT else at + wait + random.uniform(0.0001, 0.01)
        heappush(asks, (again, key))
    assert max(waits) < 1.0
    assert len(waits) > 20
    assert written > 0.9 * 60 * 5
