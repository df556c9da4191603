"""Who may not post progress: another namespace's service account, and whoever knows only the beginning of the token."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from operator_harness import OperatorHarness

from tuneloop_operator.cluster.token_reviews import TokenIdentity
from tuneloop_operator.names import ATTEMPT_LABEL, STAGE_LABEL
from tuneloop_operator.progress.reviewed_tokens import TokenReviews
from tuneloop_operator.progress.server import LocalAuthenticator
from tuneloop_operator.progress.token_review import TokenReviewAuthenticator

JOB = {"metadata": {"namespace": "team-a", "name": "reviews", "uid": "u-job"}}


def child(kind: str, uid: str, owner: str) -> dict[str, Any]:
    labels = {STAGE_LABEL: "train", ATTEMPT_LABEL: "1"}
    return {
        "kind": kind,
        "metadata": {"uid": uid, "labels": labels, "ownerReferences": [{"uid": owner, "controller": True}]},
    }


@pytest.mark.parametrize(
    ("username", "may_report"),
    [
        ("system:serviceaccount:team-a:default", True),
        ("system:serviceaccount:team-b:default", False),
        ("system:serviceaccount:team-a-b:default", False),
        ("system:node:team-a", False),
    ],
)
def test_only_a_service_account_of_the_jobs_own_namespace_may_post(
    harness: OperatorHarness, username: str, may_report: bool
) -> None:
    harness.cluster.tokens["token"] = TokenIdentity(username=username, pod_name="reviews-a1-0", pod_uid="u-pod")
    authenticator = TokenReviewAuthenticator(
        reviews=TokenReviews(harness.cluster),
        job_of=lambda _namespace, _name: JOB,
        children_of=lambda _namespace, _name: [child("Job", "u-gang", "u-job"), child("Pod", "u-pod", "u-gang")],
    )
    who = asyncio.run(authenticator.authenticate("token", namespace="team-a", name="reviews"))
    assert who is not None
    assert who.may_report is may_report


@pytest.mark.parametrize(
    ("token", "is_known"),
    [("s3cret", True), ("s3cret and more", False), ("s3cre", False), ("", False), ("S3cret", False)],
)
def test_only_the_whole_token_of_this_machine_is_known(token: str, is_known: bool) -> None:
    who = asyncio.run(LocalAuthenticator("s3cret").authenticate(token, namespace="n", name="r"))
    assert (who is not None) is is_known
