"""One tenant stores thousands of objects: what another tenant waits for is counted, and does not grow with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest
from memory_cluster import MemoryCluster
from operator_harness import SPEC, START, OperatorHarness
from waiting import eventually

from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queue import Key, Schedule, Share
from tuneloop_operator.controller.rate_limiter import RateLimiter
from tuneloop_operator.settings.operator import OperatorSettings

FLOOD = 5000
TENANT = "team-a"
"""The other tenant, as in the harness."""
REVIEWS = Key("FineTuneJob", TENANT, "reviews")


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


def test_one_tenant_has_no_more_workers_than_its_share_and_the_others_sleep_until_there_is_work() -> None:
    schedule = Schedule(share=Share(alone=2, beside=2))
    for key in keys("flood", FLOOD):
        schedule.add(key, at=0.0, now=0.0)
    taken = [schedule.take(0.0), schedule.take(0.0)]
    assert schedule.take(0.0) is None
    assert schedule.next_at(0.0) is None
    schedule.add(REVIEWS, at=0.0, now=0.0)
    assert schedule.next_at(0.0) == 0.0
    assert schedule.take(0.0) == REVIEWS
    assert taken[0] is not None
    schedule.done(taken[0], 0.0)
    assert schedule.next_at(0.0) == 0.0
    assert schedule.take(0.0) == Key("FineTuneJob", "flood", "job-2")
    assert schedule.take(0.0) is None


def test_a_tenant_beside_another_one_has_a_smaller_share_until_the_other_has_been_idle_for_a_while() -> None:
    schedule = Schedule(share=Share(alone=2, beside=1))
    for key in [*keys("flood", FLOOD), REVIEWS]:
        schedule.add(key, at=0.0, now=0.0)
    first = schedule.take(0.0)
    assert schedule.take(0.0) == REVIEWS
    assert schedule.take(0.0) is None  # the other one is at work
    schedule.done(REVIEWS, 1.0)
    assert schedule.take(1.0) is None  # and is not forgotten at once
    assert schedule.take(5.9) is None
    assert schedule.take(6.1) == Key("FineTuneJob", "flood", "job-1")
    assert schedule.take(6.1) is None
    assert first is not None
    schedule.done(first, 6.2)
    schedule.add(REVIEWS, at=6.2, now=6.2)
    assert schedule.take(6.2) == Key("FineTuneJob", "flood", "job-2")  # its own work makes nobody busy
    assert schedule.take(6.2) == REVIEWS


def test_many_tenants_that_come_and_go_are_not_remembered() -> None:
    schedule = Schedule(share=Share(alone=2, beside=1))
    for number in range(1000):
        key = Key("FineTuneJob", f"tenant-{number}", "reviews")
        schedule.add(key, at=number, now=number)
        assert schedule.take(number) == key
        schedule.done(key, number)
    assert len(schedule._done_at) == 6


class StuckCluster(MemoryCluster):
    """No status in the namespace `flood` is ever written, and none is refused: a webhook there does not answer."""

    stuck = 0

    async def patch_status(self, manifest: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        if manifest["metadata"]["namespace"] == "flood":
            self.stuck += 1
            await asyncio.Event().wait()
        return await super().patch_status(manifest, status)


def test_a_tenant_whose_writes_get_no_answer_keeps_no_other_from_its_workers() -> None:
    async def life() -> None:
        cluster = StuckCluster(lambda: START)
        operator = Operator(
            cluster=cluster, settings=OperatorSettings(default_claim="models", local=True), clock=lambda: START
        )
        cluster.watchers.append(operator.on_event)
        for key in keys("flood", 40):
            cluster.add(job_of("flood", key.name))
        work = asyncio.create_task(operator.run())
        for _ in range(1000):  # so that every worker that takes one has taken it
            await asyncio.sleep(0)
        assert cluster.stuck == 2
        cluster.add(job_of(TENANT, "reviews"))
        await eventually(lambda: is_there(cluster, "reviews-prepare"), seconds=10, what="the Job of another tenant")
        work.cancel()

    asyncio.run(life())


async def is_there(cluster: MemoryCluster, job: str) -> bool:
    return ("Job", TENANT, job) in cluster.objects


def job_of(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata, "spec": SPEC}


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


def test_the_children_of_another_tenants_job_are_made_among_the_first(harness: OperatorHarness) -> None:
    async def life() -> list[str]:
        for key in keys("flood", 40):
            harness.cluster.add(job_of("flood", key.name))
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
