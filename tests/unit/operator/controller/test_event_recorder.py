"""Kubernetes Events: each once, in order, and never a delay for the work."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from log_records import messages_of
from memory_cluster import MemoryCluster
from operator_harness import OperatorHarness

from tuneloop_operator.controller.event_recorder import BackgroundEventRecorder
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.decide.decision import Event

START = datetime(2026, 1, 1, tzinfo=UTC)


def job(uid: str = "1") -> dict[str, Any]:
    metadata = {"namespace": "a", "name": "reviews", "uid": uid, "resourceVersion": "1"}
    return {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": metadata}


def posted(*recorded: tuple[float, str, Event], lost: int | None = None) -> list[tuple[str, str, str]]:
    """Return the posted events of those recorded: each at so many minutes, about the object with this uid. `lost`: this one gets no answer."""
    at, cluster = [START], MemoryCluster(lambda: START)
    cluster.fail_write = lost
    recorder = BackgroundEventRecorder(cluster=cluster, instance="operator-0", clock=lambda: at[0])

    async def record() -> None:
        running = asyncio.create_task(recorder.run())
        for minutes, uid, event in recorded:
            at[0] = START + timedelta(minutes=minutes)
            await recorder.record(job(uid), event)
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(record())
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


def test_an_event_that_another_operator_has_posted_is_no_trouble() -> None:
    decided = Event(reason="Promoted", message="7d1f", at=START)
    with messages_of("tuneloop_operator") as messages:
        assert len(posted((0.0, "1", decided), (20.0, "1", decided))) == 1
    assert messages == []


def test_an_event_that_cannot_be_posted_does_not_delay_the_next() -> None:
    events = posted((0, "1", STARTED), (0, "2", STARTED), lost=0)
    assert [uid for uid, _, _ in events] == ["2"]


def test_a_flood_is_dropped_not_waited_for() -> None:
    cluster = MemoryCluster(lambda: START)
    recorder = BackgroundEventRecorder(cluster=cluster, instance="operator-0", clock=lambda: START)

    async def flood() -> None:
        for number in range(2000):
            await recorder.record(job(str(number)), STARTED)
        posting = asyncio.create_task(recorder.run())
        for _ in range(10):
            await asyncio.sleep(0)
        posting.cancel()

    asyncio.run(asyncio.wait_for(flood(), 5))
    assert [uid for uid, _, _ in cluster.events] == [str(number) for number in range(1000)]


class Recorded:
    """Records the reason of each event, and whether the Job existed by then."""

    def __init__(self, harness: OperatorHarness) -> None:
        self.events: list[tuple[str, bool]] = []
        self._harness = harness

    async def record(self, manifest: Any, event: Event) -> None:
        self.events.append((event.reason, ("create", "Job", "reviews-prepare") in self._harness.cluster.writes))


def test_an_event_is_recorded_after_its_decision_was_carried_out(harness: OperatorHarness) -> None:
    recorded = Recorded(harness)

    async def life() -> None:
        harness.operator = Operator(
            cluster=harness.cluster,
            settings=harness.settings,
            clock=lambda: harness.now,
            workers=1,
            events=recorded,
        )
        harness.submit()
        await harness.settle()

    asyncio.run(life())
    assert recorded.events == [("Started", True)]
