"""What feedback counts: by the day of the prediction and the revision that made it, once."""

from __future__ import annotations

import pytest
from feedback_in_memory import NOON, FeedbackServer
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_server.feedback.cohorts import DAY_SECONDS, KEPT_DAYS, MOST_REVISIONS, Cohorts
from tuneloop_server.feedback.errors import RefusedFeedback
from tuneloop_server.feedback.once import Once
from tuneloop_server.feedback.request import FeedbackItem

LABELS, CORRECT, PREDICTIONS = (
    "tuneloop_feedback_total",
    "tuneloop_feedback_correct_total",
    "tuneloop_feedback_predictions_total",
)


@pytest.fixture
def server(tmp_path):
    return FeedbackServer(tmp_path)


@pytest.mark.parametrize(
    ("label", "correct", "right"),
    [("positive", None, 1), ("negative", None, 0), (2, None, 1), (0, None, 0), (None, True, 1), (None, False, 0)],
)
def test_a_label_is_compared_with_what_was_predicted(server, label, correct, right):
    assert server.take(server.predict("positive"), label, correct=correct) == (1, 0)
    assert (server.count(LABELS), server.count(CORRECT)) == (1, right)


def test_a_label_belongs_to_the_day_of_its_prediction(server):
    token = server.predict()
    server.now += 2 * DAY_SECONDS
    server.take(token, "positive")
    assert server.count(LABELS, day="2026-11-30") == server.count(PREDICTIONS, day="2026-11-30") == 1
    assert server.count(LABELS, day="2026-12-02") == 0
    assert 'tuneloop_feedback_lag_seconds_bucket{deployment="reviews",le="86400.0"' in server.metrics
    assert "tuneloop_feedback_lag_seconds_sum" in server.metrics


def test_feedback_counts_for_the_revision_that_predicted_whoever_takes_it(server, tmp_path):
    canary = FeedbackServer(tmp_path, revision="03ab11f0", labels=("positive", "negative", "neutral"))
    server.take(canary.predict("positive"), "positive")
    server.take(canary.predict("positive"), 0)
    assert server.count(LABELS, predicted_by="03ab11f0") == server.count(CORRECT, predicted_by="03ab11f0") == 2
    assert server.count(LABELS, predicted_by="7d1f0b2c") == 0


def test_feedback_that_is_sent_again_counts_once(server):
    token = server.predict()
    assert server.take(token, "positive") == (1, 0)
    assert server.take(token, "negative") == (0, 1)
    assert (server.count(LABELS), server.count(CORRECT)) == (1, 1)
    assert "tuneloop_feedback_repeated_total{" in server.metrics


def test_equal_predictions_of_one_second_are_two(server):
    assert [server.take(server.predict(), "positive") for _ in range(2)] == [(1, 0), (1, 0)]


def test_a_list_with_one_bad_item_counts_nothing(server):
    items = [FeedbackItem(token=server.predict(), correct=True), FeedbackItem(token="x", correct=True, field="[1].")]
    with pytest.raises(RefusedFeedback, match=r"^\[1\]\.token: is damaged"):
        server.feedback.take(items)
    assert server.count(LABELS) == 0


@pytest.mark.parametrize("label", ["great", "", 3, -1, "2"])
def test_a_label_that_the_model_does_not_have_is_refused_with_those_that_it_has(server, label):
    with pytest.raises(RefusedFeedback, match="allowed are the model's 3 labels") as refused:
        server.take(server.predict(), label)
    assert refused.value.reason == "label"
    assert 'tuneloop_feedback_refused_total{deployment="reviews",reason="label"' in server.metrics


def test_a_prediction_of_the_eighth_day_counts_and_one_of_the_ninth_is_refused(server):
    token, other = server.predict(), server.predict()
    server.now += 7 * DAY_SECONDS
    assert server.take(token, "positive") == (1, 0)
    server.now += DAY_SECONDS
    with pytest.raises(RefusedFeedback, match="is of 2026-11-30, and only predictions of the last 8 days"):
        server.take(other, "positive")


def test_the_series_of_a_day_go_after_eight_days(server):
    server.take(server.predict(), "positive")
    server.now += 7 * DAY_SECONDS
    assert server.count(LABELS, day="2026-11-30") == 1
    server.now += DAY_SECONDS
    assert "2026-11-30" not in server.metrics


@pytest.mark.parametrize("ahead", [1, 300])
def test_a_clock_that_is_a_little_ahead_is_allowed(server, tmp_path, ahead):
    server.now = NOON + DAY_SECONDS / 2 - 1  # a second before midnight
    other = FeedbackServer(tmp_path, revision="03ab11f0", now=server.now + ahead)
    assert server.take(other.predict(), "positive") == (1, 0)
    assert server.count(LABELS, day="2026-11-30", predicted_by="03ab11f0") == 1  # no ninth day begins


def test_a_clock_that_is_far_ahead_is_named(server, tmp_path):
    other = FeedbackServer(tmp_path, revision="03ab11f0", now=server.now + 3600)
    with pytest.raises(RefusedFeedback, match="3600 s ahead of the clock of this server"):
        server.take(other.predict(), "positive")


def test_a_clock_that_goes_back_keeps_what_was_counted(server):
    server.take(server.predict(), "positive")
    server.now -= 3600
    assert server.count(LABELS) == 1


def test_more_revisions_than_there_can_be_make_no_more_series():
    cohorts = Cohorts()
    for number in range(1000):
        cohorts.labelled(f"{number:08x}", at=NOON, score=True, now=NOON)
    kept = list(cohorts.kept(now=NOON))
    assert len(kept) == MOST_REVISIONS + 1
    assert sum(counts.labels for _, _, counts in kept) == 1000


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=60))
def test_never_more_than_eight_days_are_kept(moves):
    cohorts, now = Cohorts(), NOON
    for hours, back in moves:
        now += hours * 3600
        cohorts.labelled("7d1f0b2c", at=now - back * DAY_SECONDS, score=True, now=now)
        assert len({day for day, _, _ in cohorts.kept(now=now)}) <= KEPT_DAYS


def test_the_oldest_tokens_are_forgotten_first():
    once = Once(most=2)
    assert [once.is_new(nonce) for nonce in (b"a", b"b", b"a", b"c", b"b", b"a")] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
