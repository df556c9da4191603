"""Requests by revision, from counters that Envoy drops when they rest and begins again at 0."""

from __future__ import annotations

import pytest

from tuneloop_router.answered import AnsweredRequests

HASHES = {"reviews-7d1f": "7d1f", "reviews-03ab": "03ab"}


class Envoy:
    """Counters as the admin interface shows them; None: it does not answer."""

    def __init__(self, counts: dict[str, int] | None) -> None:
        self.counts = counts

    def matching(self, _: str) -> dict[str, str]:
        if self.counts is None:
            raise OSError("Envoy does not answer")
        return {
            f"router.requests_total.deployment.reviews.target.{hash_}.revision.{hash_}.code.200": str(count)
            for hash_, count in self.counts.items()
        }


@pytest.fixture
def envoy() -> Envoy:
    return Envoy({"03ab": 40})


@pytest.fixture
def answered(envoy) -> AnsweredRequests:
    counted = AnsweredRequests(envoy)
    counted.begin()
    return counted


def test_what_was_counted_before_the_split_does_not_count(envoy, answered):
    envoy.counts = {"03ab": 45, "7d1f": 2}
    assert answered.of(HASHES) == {"reviews-7d1f": 2, "reviews-03ab": 5}


def test_a_counter_that_begins_again_goes_on(envoy, answered):
    envoy.counts = {"03ab": 45, "7d1f": 9}
    answered.of(HASHES)
    envoy.counts = {"03ab": 46}  # the series of 7d1f has rested
    answered.of(HASHES)
    envoy.counts = {"03ab": 47, "7d1f": 3}
    assert answered.of(HASHES) == {"reviews-7d1f": 12, "reviews-03ab": 7}


def test_a_counter_that_has_begun_again_since_the_last_reading_goes_on(envoy, answered):
    envoy.counts = {"03ab": 45, "7d1f": 9}
    answered.of(HASHES)
    envoy.counts = {"03ab": 4, "7d1f": 3}
    assert answered.of(HASHES) == {"reviews-7d1f": 12, "reviews-03ab": 9}


def test_nothing_is_known_while_envoy_does_not_answer_and_nothing_is_lost(envoy, answered):
    envoy.counts = None
    assert answered.of(HASHES) is None
    envoy.counts = {"03ab": 50}
    assert answered.of(HASHES) == {"reviews-7d1f": 0, "reviews-03ab": 10}


def test_counters_that_could_not_be_read_at_the_start_count_from_the_first_reading(envoy):
    envoy.counts = None
    answered = AnsweredRequests(envoy)
    answered.begin()
    envoy.counts = {"03ab": 40}
    assert answered.of(HASHES) == {"reviews-7d1f": 0, "reviews-03ab": 0}
    envoy.counts = {"03ab": 41}
    assert answered.of(HASHES) == {"reviews-7d1f": 0, "reviews-03ab": 1}
