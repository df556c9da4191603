"""The traffic of the story of drift, sent to a real server of a tiny model; and to one that never answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from itertools import islice

import pytest
from artifact import make_artifact
from demo_loop.client import MOST_IN_FLIGHT, TrafficClient
from demo_loop.domains import Row
from demo_loop.events import Feedback, Request
from demo_loop.plan import Requests, TrafficPlan
from prometheus_client.parser import text_string_to_metric_families
from server_process import configuration, running_fork
from tiny_models import tiny_bert

SECONDS = 2.5
PLAN = TrafficPlan(per_second=40, share_after=1.0, labelled=0.6, wrong_labels=0.3, delay_seconds=0.3, seed=5)
TURN_AT = 40


def rows(domain: str) -> list[Row]:
    labels = ("positive", "negative")
    return [Row(domain=domain, parent=str(n), text=f"a good film {n}", label=labels[n % 2]) for n in range(200)]


class TurningAt:
    """Requests that turn by their number, so that the run does not depend on the clock."""

    def __init__(self, inner: Requests, number: int) -> None:
        self._inner, self._number = inner, number

    def __iter__(self):
        for planned in self._inner:
            if planned.number == self._number - 1:
                self._inner.turn()
            yield planned


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The events of a run, and the metrics of the server after it."""
    folder = tmp_path_factory.mktemp("traffic")
    (folder / "keys").write_text("k" * 32)
    make_artifact(folder / "artifact", tiny_bert(folder / "bert"), max_tokens=16)
    config = configuration(folder / "artifact", feedback={"keys_path": str(folder / "keys")})
    events: list[Request | Feedback] = []
    with running_fork(config, folder) as server:
        traffic = TurningAt(Requests(PLAN, rows("movies"), rows("tweets")), TURN_AT)
        asyncio.run(TrafficClient(server.url, traffic, PLAN, events.append).run(SECONDS))
        counted = Counter()
        for family in text_string_to_metric_families(server.client.get("/metrics").text):
            for sample in family.samples:
                counted[sample.name] += sample.value
    answers = sorted((event for event in events if isinstance(event, Request)), key=lambda event: event.number)
    return answers, [event for event in events if isinstance(event, Feedback)], counted


def test_every_planned_request_is_sent_and_answered(sent):
    answers, _, _ = sent
    assert [event.number for event in answers] == list(range(round(SECONDS * PLAN.per_second)))
    assert {event.status for event in answers} == {200}
    assert all(event.prediction in {"positive", "negative"} and 0.5 <= event.score <= 1 for event in answers)


def test_no_request_is_sent_before_its_time(sent):
    answers, _, _ = sent
    began = answers[0].at
    assert all(event.at - began >= event.number / PLAN.per_second - 0.05 for event in answers)


def test_the_domain_turns_at_its_request(sent):
    answers, _, _ = sent
    assert {event.domain for event in answers[:TURN_AT]} == {"movies"}
    assert {event.domain for event in answers[TURN_AT:]} == {"tweets"}


def test_the_server_counts_the_labels_that_were_planned(sent):
    answers, labels, counted = sent
    planned = {
        request.number
        for request in islice(Requests(PLAN, rows("movies"), rows("tweets")), len(answers))
        if request.feedback
    }
    assert {event.number for event in labels} == planned
    assert counted["tuneloop_feedback_total"] == len(labels)
    assert counted["tuneloop_feedback_correct_total"] == sum(event.correct for event in labels)


def test_a_label_is_the_truth_unless_it_is_wrong_on_purpose(sent):
    answers, labels, _ = sent
    assert {event.wrong_on_purpose for event in labels} == {True, False}
    for event in labels:
        request = answers[event.number]
        assert (event.label == request.truth) != event.wrong_on_purpose
        assert event.correct == (event.label == request.prediction)


def test_labels_come_after_their_delay(sent):
    answers, labels, _ = sent
    planned = {
        request.number: request for request in islice(Requests(PLAN, rows("movies"), rows("tweets")), len(answers))
    }
    for event in labels:
        assert event.at >= answers[event.number].at + planned[event.number].feedback.delay - 0.01


def test_a_server_that_never_answers_is_not_buried():
    connections: list[asyncio.StreamWriter] = []
    full = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) >= MOST_IN_FLIGHT:
            full.set()
        await asyncio.Event().wait()

    async def life() -> int:
        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fast = TrafficPlan(per_second=2000)
        client = TrafficClient(
            f"http://127.0.0.1:{port}", Requests(fast, rows("movies"), rows("tweets")), fast, lambda _: None
        )
        running = asyncio.create_task(client.run(60))
        async with asyncio.timeout(20):
            await full.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(running), 0.3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for writer in connections:
            writer.close()
        server.close()
        return len(connections)

    assert asyncio.run(life()) == MOST_IN_FLIGHT
