"""A comparator process between two revisions that a test scripts: what it counts, of copies and of golden rows."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx
import pytest
from comparator_process import DEADLINE, comparator_config, comparing, head_of_copy, pairs_of
from odd_revisions import (
    cut,
    drip,
    huge,
    huge_headers,
    never,
    not_http,
    once,
    raw,
    respond,
    revisions,
    saying,
)
from raw_http import connect, resident_mib
from waiting import until

COPY = {"inputs": "a fine film"}

JSON = {"content-type": "application/json"}


def by_text(**answers: str):
    """Answer each text with its class."""

    async def answer(body, writer):
        label = answers[json.loads(body)["inputs"]]
        respond(writer, json.dumps([{"label": label, "score": 0.8}]).encode())

    return answer


def test_agreement_flips_and_times_are_counted(tmp_path):
    texts = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    good = by_text(a="positive", b="positive", c="neutral")
    bad = by_text(a="positive", b="negative", c="made up")
    with (
        revisions(good, bad) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, warmUpPairs=4), tmp_path) as comparator,
    ):
        assert comparator.send({"inputs": text} for text in texts) == [202] * 10
        found = comparator.wait_for_pairs(10)
    assert (found.live.agree, found.live.disagree) == (5, 5)
    flips = {(flip.stable, flip.canary): flip.count for flip in found.live.flips}
    assert flips == {("positive", "negative"): 3, ("neutral", "other"): 2}
    assert sum(found.live.latency_ratios) == 6
    assert found.copies.taken == 10


def test_both_get_the_same_request_as_it_was_sent(tmp_path):
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        odd = b' {"inputs" : "gr\xc3\xb6\xc3\x9fer", "parameters": null}\n'
        comparator.send([odd], target="/?adapter=films")
        comparator.wait_for_pairs(1)
    assert stable.bodies == canary.bodies == [odd]
    for head, port in ((stable.heads[0], stable.port), (canary.heads[0], canary.port)):
        assert head.startswith(b"POST /?adapter=films HTTP/1.1\r\n")
        assert f"host: 127.0.0.1:{port}\r\n".encode() in head


def test_each_is_asked_first_about_half_of_the_time_and_never_both_at_once(tmp_path):
    order, under_way, most = [], [], []

    def noting(name: str):
        async def answer(_, writer):
            order.append(name)
            under_way.append(name)
            most.append(len(under_way))
            await asyncio.sleep(0.002)
            under_way.remove(name)
            respond(writer, b'[{"label": "positive", "score": 1}]')

        return answer

    limits = {"requestsPerSecond": 10_000, "queueRequests": 1000, "concurrency": 1}
    with (
        revisions(noting("stable"), noting("canary")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, limits=limits), tmp_path) as comparator,
    ):
        comparator.send([COPY] * 200)
        comparator.wait_for_pairs(200)
    assert max(most) == 1
    pairs = [tuple(order[place : place + 2]) for place in range(0, 400, 2)]
    assert {*pairs} == {("stable", "canary"), ("canary", "stable")}
    assert 60 < pairs.count(("stable", "canary")) < 140  # it is not, once in 10 ** 8 times


def test_connections_are_kept_and_no_more_than_the_pairs_under_way(tmp_path):
    limits = {"requestsPerSecond": 10_000, "queueRequests": 1000, "concurrency": 3}
    with (
        revisions(saying("positive", seconds=0.005), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, limits=limits), tmp_path) as comparator,
    ):
        comparator.send([COPY] * 150)
        comparator.wait_for_pairs(150)
    assert stable.connections <= 3 + 1  # one is replaced after 100 requests
    assert stable.most_at_once <= 3
    assert canary.most_at_once <= 3


def test_a_server_that_closes_its_connections_between_requests_is_not_to_blame(tmp_path):
    with (
        revisions(once, saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        comparator.send([COPY] * 100)
        found = comparator.wait_for_pairs(100).live
    assert (found.agree, found.stable_failed) == (100, 0)
    assert sum(found.latency_ratios) == 100


BAD = {
    "html": (raw(b"<html>please wait</html>"), "unreadable"),
    "NaN": (raw(b'[{"label": "positive", "score": NaN}]'), "unreadable"),
    "no answer of the task": (raw(b'{"ok": true}'), "unreadable"),
    "no HTTP": (not_http, "unreadable"),
    "100 MB": (huge, "too_large"),
    "endless headers": (huge_headers, "too_large"),
    "a slow drip": (drip, "timeout"),
    "silence": (never, "timeout"),
    "half an answer": (cut, "connection"),
    "500": (saying("positive", status=500), "server_error"),
    "a redirect": (raw(b"", status=302, more="location: http://127.0.0.1:1/\r\n"), "server_error"),
    "404": (saying("positive", status=404), "refused"),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A comparator between a good stable and a canary whose way to answer each test sets. An answer has 1 s."""
    limits = {"requestsPerSecond": 10_000, "queueRequests": 1000, "answerSeconds": 1}
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(
            comparator_config(stable.port, canary.port, limits=limits), tmp_path_factory.mktemp("odd")
        ) as comparator,
    ):
        yield comparator, canary


@pytest.mark.parametrize(("answer", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_answer_is_a_failure_of_that_revision_by_its_reason(odd, answer, reason):
    comparator, canary = odd
    before = comparator.counts()
    canary.answer = answer
    comparator.send([COPY] * 3)
    after = comparator.wait_for_pairs(pairs_of(before.live) + 3)
    assert after.live.canary_failed - before.live.canary_failed == 3
    assert getattr(after.live.canary_failures, reason) - getattr(before.live.canary_failures, reason) == 3
    assert after.live.stable_failures == before.live.stable_failures
    canary.answer = saying("positive")
    comparator.send([COPY])
    recovered = comparator.wait_for_pairs(pairs_of(after.live) + 1)
    assert recovered.live.agree == after.live.agree + 1


def test_many_huge_answers_at_once_take_little_memory(odd):
    comparator, canary = odd
    before, memory = comparator.counts(), resident_mib(comparator.process.pid)
    canary.answer = huge
    comparator.send([COPY] * 40)
    comparator.wait_for_pairs(pairs_of(before.live) + 40)
    canary.answer = saying("positive")
    assert resident_mib(comparator.process.pid) - memory < 64


def test_an_answer_that_nobody_asked_for_does_not_pass_for_the_next_one(odd):
    comparator, canary = odd
    before = comparator.counts()

    async def twice(_, writer):
        """The second answer comes in two parts: the first with the answer before it, the other with the next request."""
        respond(writer, b'[{"label": "positive", "score": 1}]')
        second = b'[{"label": "negative", "score": 1}]'
        writer.write(b"HTTP/1.1 200 -\r\ncontent-length: %d\r\n\r\n" % len(second) + second[:-1])
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.write(second[-1:])

    canary.answer = twice
    for number in range(1, 4):
        comparator.send([COPY])
        comparator.wait_for_pairs(pairs_of(before.live) + number)
    canary.answer = saying("positive")
    assert comparator.counts().live.agree == before.live.agree + 3


def test_a_page_in_a_browser_cannot_send_copies_or_ask_for_replays(odd):
    comparator, _ = odd
    before = comparator.counts()
    for port, path in ((comparator.config.port, "/predict"), (comparator.config.control_port, "/v1/golden")):
        url = f"http://127.0.0.1:{port}{path}"
        rebound = {"host": f"rebound.example:{port}"} | JSON
        assert httpx.post(url, content=b"{}", headers=rebound).status_code == 403
        assert httpx.post(url, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert comparator.counts() == before


def test_a_client_of_the_copies_port_gets_202_whatever_it_sends_and_the_rest_is_counted(odd):
    comparator, _ = odd
    before = comparator.counts()
    base = f"http://127.0.0.1:{comparator.config.port}"
    answers = [
        httpx.get(f"{base}/predict"),
        httpx.put(f"{base}/predict", content=b"{}"),
        httpx.post(f"{base}/v1/feedback", content=b"{}", headers=JSON),
        httpx.post(f"{base}/metrics", content=b"{}", headers=JSON),
        httpx.post(f"{base}/predict", content=b"x" * (1024 * 1024 + 1), headers=JSON),
        httpx.get(f"{base}/readyz"),
    ]
    assert [(answer.status_code, answer.content) for answer in answers] == [(202, b"")] * 6
    with connect(comparator.config.port) as half:
        half.sendall(head_of_copy(comparator.config.port, 10) + b"12345")
    until(lambda: comparator.counts().copies.incomplete > before.copies.incomplete, seconds=DEADLINE, what="the half")
    after = comparator.counts().copies
    assert after.not_a_prediction - before.copies.not_a_prediction == 5
    assert after.too_large - before.copies.too_large == 1
    assert after.taken == before.copies.taken


def test_a_request_that_both_refuse_is_no_failure_and_one_without_room_or_server_is_no_evidence(tmp_path):
    with (
        revisions(saying("positive", status=422), saying("positive", status=400)) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator,
    ):
        comparator.send([COPY])
        comparator.wait_for_pairs(1)
        stable.answer = saying("positive", status=429)
        comparator.send([COPY])
        comparator.wait_for_pairs(2)
        stable.answer = raw(b"", status=503, more="x-tuneloop-retry: 1\r\n")
        comparator.send([COPY])
        found = comparator.wait_for_pairs(3).live
    assert (found.refused, found.overloaded, found.away) == (1, 1, 1)
    assert (found.both_failed, found.canary_failed, found.rows) == (0, 0, 0)


def test_more_than_the_rate_is_dropped_and_counted(tmp_path):
    limits = {"requestsPerSecond": 5, "queueRequests": 1000}
    with (
        revisions(saying("positive"), saying("positive")) as (stable, canary),
        comparing(comparator_config(stable.port, canary.port, limits=limits), tmp_path) as comparator,
    ):
        assert comparator.send([COPY] * 200) == [202] * 200
        copies = comparator.counts().copies
        comparator.wait_for_pairs(copies.taken)
    assert copies.taken + copies.rate == 200
    assert copies.rate > 0
    assert copies.taken >= 5
    assert len(stable.bodies) == copies.taken


def test_a_new_pair_of_revisions_begins_at_zero(tmp_path):
    with revisions(saying("positive"), saying("positive")) as (stable, canary):
        with comparing(comparator_config(stable.port, canary.port), tmp_path) as comparator:
            comparator.send([COPY] * 3)
            first = comparator.wait_for_pairs(3)
        with comparing(comparator_config(canary.port, stable.port), tmp_path) as comparator:
            second = comparator.counts()
    assert (pairs_of(first.live), pairs_of(second.live), second.copies.taken) == (3, 0, 0)
    assert first.started_at < second.started_at


def test_a_revision_that_dies_in_the_middle_is_counted_and_is_used_again_once_it_is_back(tmp_path):
    limits = {"requestsPerSecond": 10_000, "queueRequests": 1000, "answerSeconds": 30}
    with (
        revisions(saying("positive")) as (stable,),
        contextlib.ExitStack() as dying,
    ):
        (canary,) = dying.enter_context(revisions(never))
        with comparing(comparator_config(stable.port, canary.port, limits=limits), tmp_path) as comparator:
            comparator.send([COPY] * 4)
            until(lambda: len(canary.bodies) == 4, seconds=DEADLINE, what="requests that wait for an answer")
            dying.close()
            killed = comparator.wait_for_pairs(4).live
            comparator.send([COPY] * 4)
            away = comparator.wait_for_pairs(8).live
            with revisions(saying("positive"), port=canary.port):
                comparator.send([COPY] * 4)
                back = comparator.wait_for_pairs(12).live
    assert (killed.canary_failures.connection, killed.canary_failed) == (4, 4)
    assert (away.canary_failures.away, away.away) == (4, 4)
    assert (back.agree, back.canary_failed) == (4, 4)
