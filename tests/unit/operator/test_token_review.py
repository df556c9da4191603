"""How long the review of a token is cached, and what is checked for each message all the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from memory_cluster import MemoryCluster

from tuneloop_api.wire.names import token_audience
from tuneloop_operator.cluster.token_reviews import TokenIdentity, identity_of
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.names import ATTEMPT_LABEL, STAGE_LABEL
from tuneloop_operator.progress.reviewed_tokens import TokenReviews
from tuneloop_operator.progress.server import Identity
from tuneloop_operator.progress.token_review import TokenReviewAuthenticator

Manifest = dict[str, Any]
HOLDER = TokenIdentity(username="system:serviceaccount:team-a:default", pod_name="reviews-a1-0", pod_uid="pod")


def child(kind: str, uid: str, owner: str, *, stage: str = "train", attempt: str = "1") -> Manifest:
    return {
        "kind": kind,
        "metadata": {
            "uid": uid,
            "labels": {STAGE_LABEL: stage, ATTEMPT_LABEL: attempt},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
    }


class JobWithPod:
    """A job with one pod, an authenticator, and a clock."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
        self.cluster.tokens["good"] = HOLDER
        self.job: Manifest | None = {"metadata": {"namespace": "team-a", "name": "reviews", "uid": "ftj"}}
        self.children = [child("Job", "job", "ftj"), child("Pod", "pod", "job")]
        self.now = 0.0
        self._authenticator: TokenReviewAuthenticator | None = None

    async def ask(self, token: str = "good") -> Any:
        if self._authenticator is None:
            self._authenticator = TokenReviewAuthenticator(
                reviews=TokenReviews(self.cluster, clock=lambda: self.now),
                job_of=lambda _namespace, _name: self.job,
                children_of=lambda _namespace, _name: self.children,
            )
        return await self._authenticator.authenticate(token, namespace="team-a", name="reviews")


@pytest.mark.parametrize(
    ("token", "later", "asked"),
    [("good", 299.0, 1), ("good", 300.0, 2), ("bad", 4.9, 1), ("bad", 5.0, 2)],
)
def test_a_review_is_cached_for_so_long(token: str, later: float, asked: int) -> None:
    setup = JobWithPod()

    async def story() -> None:
        await setup.ask(token)
        setup.now = later
        await setup.ask(token)

    asyncio.run(story())
    assert len(setup.cluster.reviewed) == asked


def test_a_pod_that_is_gone_may_not_report_although_its_token_is_cached() -> None:
    setup = JobWithPod()

    async def story() -> list[bool]:
        before = await setup.ask()
        setup.children.pop()
        return [before.may_report, (await setup.ask()).may_report]

    assert asyncio.run(story()) == [True, False]


def test_a_job_that_was_created_again_is_another_audience() -> None:
    setup = JobWithPod()

    async def story() -> None:
        await setup.ask()
        setup.job = {"metadata": {"namespace": "team-a", "name": "reviews", "uid": "another"}}
        assert not (await setup.ask()).may_report

    asyncio.run(story())
    assert setup.cluster.reviewed == [token_audience("ftj"), token_audience("another")]


def test_without_the_job_no_review_is_requested() -> None:
    setup = JobWithPod()
    setup.job = None
    assert asyncio.run(setup.ask()) is None
    assert setup.cluster.reviewed == []


def test_a_review_without_an_answer_is_not_cached() -> None:
    setup = JobWithPod()

    async def story() -> Any:
        setup.cluster.is_up = False
        with pytest.raises(ClusterUnavailable):
            await setup.ask()
        setup.cluster.is_up = True
        return await setup.ask()

    assert asyncio.run(story()).may_report


def test_a_flood_of_tokens_reaches_the_api_server_a_few_at_a_time() -> None:
    setup = JobWithPod()

    async def story() -> None:
        await asyncio.gather(*(setup.ask(f"guess {number}") for number in range(100)))

    asyncio.run(story())
    assert setup.cluster.most_reviews_at_once == 8


def test_a_cached_token_does_not_wait_behind_a_flood() -> None:
    setup = JobWithPod()

    async def story() -> tuple[Any, int]:
        await setup.ask()
        asked = len(setup.cluster.reviewed)
        flood = [asyncio.create_task(setup.ask(f"guess {number}")) for number in range(100)]
        await asyncio.sleep(0)
        identity = await setup.ask()
        reviewed = len(setup.cluster.reviewed) - asked
        await asyncio.gather(*flood)
        return identity, reviewed

    identity, reviewed = asyncio.run(story())
    assert identity.may_report
    assert reviewed <= 8


def test_many_posts_at_once_with_one_token_ask_few_times() -> None:
    setup = JobWithPod()

    async def story() -> None:
        await asyncio.gather(*(setup.ask() for _ in range(100)))

    asyncio.run(story())
    assert len(setup.cluster.reviewed) <= 8


@pytest.mark.parametrize(("stage", "attempt"), [("cook", "1"), ("train", ""), ("train", "one")])
def test_a_pod_whose_labels_say_no_stage_and_attempt_may_not_report(stage: str, attempt: str) -> None:
    setup = JobWithPod()
    setup.children[1] = child("Pod", "pod", "job", stage=stage, attempt=attempt)
    assert not asyncio.run(setup.ask()).may_report


@pytest.mark.parametrize(
    ("stage", "status", "why_not"),
    [
        pytest.param("train", {}, None, id="before the first status"),
        pytest.param("train", {"status": {"attempt": 1}}, None, id="the newest attempt"),
        pytest.param(
            "train",
            {"status": {"attempt": 2}},
            "pod reviews-a1-0 is of attempt 1; attempt 2 is on",
            id="an earlier attempt",
        ),
        pytest.param("export", {"status": {"attempt": 2}}, None, id="the export of an earlier attempt"),
    ],
)
def test_a_training_pod_of_an_earlier_attempt_may_not_report(stage: str, status: Manifest, why_not: str | None) -> None:
    setup = JobWithPod()
    assert setup.job is not None
    setup.job |= status
    setup.children[1] = child("Pod", "pod", "job", stage=stage)
    known = (
        {"may_report": True, "stage": stage, "attempt": 1}
        if why_not is None
        else {"may_report": False, "why_not": why_not}
    )
    assert asyncio.run(setup.ask()) == Identity(name="pod reviews-a1-0", **known)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "error": "expired"},
        {"authenticated": True, "user": {"username": "somebody"}},
        {"authenticated": True, "audiences": ["other"], "user": {"username": "somebody"}},
    ],
)
def test_a_review_that_does_not_confirm_the_audience_is_no_identity(status: Manifest) -> None:
    assert identity_of({"status": status}, audience="ours") is None
