"""Events for people: each once, in order, and never in the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_operator.controller.event_recorder import EventPoster
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.errors import ClusterUnavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


def job(uid: str = "1") -> dict[str, Any]:
    return {"kind": "FineTuneJob", "metadata": {"namespace": "a", "name": "reviews", "uid": uid}}


class Posted:
    """Takes events as the API server does; the first `failures` of them get no answer."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.failures = failures

    async def post_event(
        self, regarding: Any, *, kind: str, reason: str, message: str, instance: str, now: Any
    ) -> None:
        if self.failures:
            self.failures -= 1
            raise ClusterUnavailable("no answer")
        self.events.append((regarding["metadata"]["uid"], reason, message))


def posted(*told: tuple[float, str, Event], failures: int = 0) -> list[tuple[str, str, str]]:
    """Return what is posted of events that are told at so many minutes, each of the object with this uid."""
    at, cluster = [START], Posted(failures)
    poster = EventPoster(cluster=cluster, instance="operator-0", clock=lambda: at[0])

    async def tell() -> None:
        running = asyncio.create_task(poster.run())
        for minutes, uid, event in told:
            at[0] = START + timedelta(minutes=minutes)
            await poster.tell(job(uid), event)
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(tell())
    return cluster.events


STARTED = Event(reason="Started", message="prepare")


@pytest.mark.parametrize(
    ("second", "times"),
    [
        pytest.param((9.9, "1", STARTED), 1, id="the same within ten minutes"),
        pytest.param((10.0, "1", STARTED), 2, id="the same after ten minutes"),
        pytest.param((0.0, "2", STARTED), 2, id="of another object"),
        pytest.param((0.0, "1", Event(reason="Started", message="train")), 2, id="another message"),
        pytest.param((0.0, "1", Event(reason="Ended", message="prepare")), 2, id="another reason"),
    ],
)
def test_an_event_is_posted_once(second: tuple[float, str, Event], times: int) -> None:
    assert len(posted((0.0, "1", STARTED), second)) == times


def test_one_that_cannot_be_posted_does_not_hold_up_the_next() -> None:
    events = posted((0, "1", STARTED), (0, "2", STARTED), failures=1)
    assert [uid for uid, _, _ in events] == ["2"]


def test_a_flood_is_dropped_not_waited_for() -> None:
    cluster = Posted()
    poster = EventPoster(cluster=cluster, instance="operator-0", clock=lambda: START)

    async def flood() -> None:
        for number in range(2000):
            await poster.tell(job(str(number)), STARTED)
        posting = asyncio.create_task(poster.run())
        for _ in range(10):
            await asyncio.sleep(0)
        posting.cancel()

    asyncio.run(asyncio.wait_for(flood(), 5))
    assert [uid for uid, _, _ in cluster.events] == [str(number) for number in range(1000)]


def test_what_was_decided_is_told_after_it_was_done(bed: Any) -> None:
    told: list[tuple[str, bool]] = []

    async def tell(_: Any, event: Event) -> None:
        told.append((event.reason, ("create", "Job", "reviews-prepare") in bed.cluster.writes))

    async def life() -> None:
        bed.operator = Operator(cluster=bed.cluster, settings=bed.settings, clock=lambda: bed.now, workers=1, tell=tell)
        bed.submit()
        await bed.settle()

    asyncio.run(life())
    assert told == [("Started", True)]
