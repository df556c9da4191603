"""The plan of the traffic: which text, from which domain, and which label comes back when."""

from __future__ import annotations

import math
import statistics
from itertools import islice

import pytest
from demo_loop.client import feedback_body
from demo_loop.domains import Row
from demo_loop.plan import Requests, TrafficPlan

OLD = [Row(domain="movies", parent=str(n), text=f"film {n}", label="positive") for n in range(40)]
NEW = [Row(domain="tweets", parent=str(n), text=f"tweet {n}", label="negative") for n in range(40)]
MANY = 4000


def planned(plan: TrafficPlan, *, turn_at: int | None = None, count: int = MANY):
    requests = Requests(plan, OLD, NEW)
    before = list(islice(requests, count if turn_at is None else turn_at))
    if turn_at is None:
        return before
    requests.turn()
    return [*before, *islice(requests, count - turn_at)]


def test_the_same_seed_is_the_same_stream() -> None:
    plan = TrafficPlan(share_after=0.5, wrong_labels=0.2)
    assert planned(plan, turn_at=100) == planned(plan, turn_at=100)
    assert planned(plan, turn_at=100) != planned(TrafficPlan(share_after=0.5, wrong_labels=0.2, seed=2), turn_at=100)


def test_the_traffic_turns_at_the_next_request_and_once() -> None:
    requests = Requests(TrafficPlan(), OLD, NEW)
    before = list(islice(requests, 5))
    requests.turn()
    after = list(islice(requests, 5))
    requests.turn()
    assert {request.row.domain for request in before} == {"movies"}
    assert {request.row.domain for request in after} == {"tweets"}
    assert requests.turned_at == 5


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_mix_is_the_share_asked_for(share: float) -> None:
    after = planned(TrafficPlan(share_after=share), turn_at=0)
    assert statistics.mean(request.row.domain == "tweets" for request in after) == pytest.approx(share, abs=0.03)


def test_before_the_turn_the_mix_is_that_of_before() -> None:
    before = planned(TrafficPlan(share_before=0.2, share_after=1.0))
    assert statistics.mean(request.row.domain == "tweets" for request in before) == pytest.approx(0.2, abs=0.03)


def test_each_text_is_sent_once_before_any_is_sent_again() -> None:
    requests = planned(TrafficPlan(), count=90)
    assert [request.row for request in requests[:40]] == OLD
    assert [request.repeated for request in requests] == [False] * 40 + [True] * 50


def test_requests_are_due_at_a_steady_rate() -> None:
    plan = TrafficPlan(per_second=4)
    assert [request.due(plan) for request in planned(plan, count=3)] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("labelled", [0.0, 0.4, 1.0])
def test_the_share_with_labels_is_the_one_asked_for(labelled: float) -> None:
    requests = planned(TrafficPlan(labelled=labelled))
    assert statistics.mean(request.feedback is not None for request in requests) == pytest.approx(labelled, abs=0.03)


@pytest.mark.parametrize("wrong", [0.0, 0.1, 1.0])
def test_labels_are_true_but_for_the_share_asked_for(wrong: float) -> None:
    requests = planned(TrafficPlan(labelled=1.0, wrong_labels=wrong))
    assert all(
        (request.feedback.label != request.row.label) == request.feedback.wrong_on_purpose for request in requests
    )
    assert statistics.mean(request.feedback.wrong_on_purpose for request in requests) == pytest.approx(wrong, abs=0.02)


def test_delays_are_log_normal_around_their_median() -> None:
    plan = TrafficPlan(labelled=1.0, delay_seconds=8.0, delay_spread=0.5)
    logarithms = [math.log(request.feedback.delay) for request in planned(plan)]
    assert statistics.median(logarithms) == pytest.approx(math.log(8), abs=0.05)
    assert statistics.stdev(logarithms) == pytest.approx(0.5, abs=0.03)


def test_more_labels_change_no_text() -> None:
    few, many = (planned(TrafficPlan(share_after=0.5, labelled=share), turn_at=0) for share in (0.1, 0.9))
    assert [request.row for request in few] == [request.row for request in many]


@pytest.mark.parametrize(("sends_text", "text"), [(False, {}), (True, {"input": "film 0"})])
def test_a_label_comes_with_its_text_where_rows_are_kept(sends_text: bool, text: dict[str, str]) -> None:
    (request,) = planned(TrafficPlan(labelled=1.0), count=1)
    assert feedback_body("t", request, sends_text=sends_text) == {"token": "t", "label": "positive"} | text


def test_a_domain_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="both domains need rows"):
        Requests(TrafficPlan(), OLD, [])


def test_texts_that_were_kept_back_are_sent_for_the_first_time_when_asked_for() -> None:
    requests = Requests(TrafficPlan(), OLD, NEW[:10])
    requests.turn()
    drift = list(islice(requests, 15))
    requests.go_on_with(NEW[10:])
    after = list(islice(requests, 5))
    assert drift[-1].repeated
    assert [(request.row, request.repeated) for request in after] == [(row, False) for row in NEW[10:15]]
