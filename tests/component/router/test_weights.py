"""Which revision answers: exactly by weight, and for a sticky user always the same while a canary grows."""

from __future__ import annotations

import math

import pytest
from router_process import answers_of, revisions_of

USERS = [f"user-{number}" for number in range(250)]
STICKY = {"header": "x-user", "salt": "rollout-1"}


@pytest.mark.parametrize(("weight", "other"), [(0, "stable"), (100, "canary")])
def test_a_weight_of_0_or_100_is_exact(stage, weight, other):
    stage.publish(canary=weight, stable=100 - weight)
    assert answers_of(stage.router.url, 200).revisions == {other: 200}


def test_a_weight_of_37_is_met_within_four_standard_errors(stage):
    stage.publish(canary=37, stable=63)
    answers = answers_of(stage.router.url, 1000)
    spread = 4 * math.sqrt(1000 * 0.37 * 0.63)
    assert abs(answers.revisions["canary"] - 370) < spread
    assert answers.failed == 0


def test_a_sticky_user_never_goes_back_while_a_canary_grows(stage):
    before: dict[str, str] = {}
    for weight in (0, 1, 5, 25, 50, 99, 100):
        stage.publish(canary=weight, stable=100 - weight, sticky=STICKY)
        now = revisions_of(stage.router.url, USERS, "x-user")
        back = [user for user, revision in before.items() if revision == "canary" != now[user]]
        assert not back
        share = sum(revision == "canary" for revision in now.values()) / len(USERS)
        assert abs(share - weight / 100) < 0.13  # four standard errors
        before = now
    assert set(before.values()) == {"canary"}


def test_another_salt_chooses_other_users(stage):
    chosen = []
    for salt in ("rollout-1", "rollout-2"):
        stage.publish(canary=25, stable=75, sticky=STICKY | {"salt": salt})
        now = revisions_of(stage.router.url, USERS, "x-user")
        chosen.append({user for user, revision in now.items() if revision == "canary"})
    first, second = chosen
    assert len(first & second) < len(first) / 2  # by chance a quarter


@pytest.mark.parametrize("headers", [{}, {"x-user": ""}], ids=["no header", "an empty header"])
def test_a_request_without_a_user_is_drawn(stage, headers):
    stage.publish(canary=50, stable=50, sticky=STICKY)
    revisions = answers_of(stage.router.url, 100, headers=headers).revisions
    assert min(revisions["canary"], revisions["stable"]) > 20


def test_a_user_whose_name_is_no_ascii_stays_too(stage):
    stage.publish(canary=50, stable=50, sticky=STICKY)
    for user in ("jürgen", "\xe9", "李"):
        header = user.encode().decode("latin-1")
        found = {stage.router.get(**{"x-user": header})[1]["x-tuneloop-revision"] for _ in range(12)}
        assert len(found) == 1
