"""What two replies to one request say."""

from __future__ import annotations

import json

import pytest

from tuneloop_server.answers import ANSWERS
from tuneloop_server.comparator.replies import Failure, Reply, failure_of
from tuneloop_server.comparator.verdicts import Side, Verdict, compared, side_of

ANSWER = ANSWERS["text-classification"]


def answered(label: str, *, score: object = 0.9, seconds: float = 0.1) -> Side:
    return side(json.dumps([{"label": label, "score": score}]).encode(), seconds=seconds)


def side(body: bytes, *, seconds: float = 0.1, is_golden: bool = False) -> Side:
    return side_of(Reply(body=body, seconds=seconds), ANSWER, is_golden=is_golden)


def failed(failure: Failure) -> Side:
    return side_of(Reply(failure=failure), ANSWER)


GOOD = answered("yes")


@pytest.mark.parametrize(
    ("stable", "canary", "verdict"),
    [
        pytest.param(GOOD, answered("yes", score=0.5), Verdict.AGREE, id="the same class"),
        pytest.param(GOOD, answered("no"), Verdict.DISAGREE, id="another class"),
        pytest.param(failed(Failure.TIMEOUT), GOOD, Verdict.STABLE_FAILED, id="stable failed"),
        pytest.param(GOOD, failed(Failure.SERVER_ERROR), Verdict.CANARY_FAILED, id="the canary failed"),
        pytest.param(GOOD, failed(Failure.REFUSED), Verdict.CANARY_FAILED, id="the canary alone refused"),
        pytest.param(
            failed(Failure.REFUSED), failed(Failure.SERVER_ERROR), Verdict.BOTH_FAILED, id="one refused, one failed"
        ),
        pytest.param(failed(Failure.CONNECTION), failed(Failure.TIMEOUT), Verdict.BOTH_FAILED, id="both failed"),
        pytest.param(failed(Failure.REFUSED), failed(Failure.REFUSED), Verdict.REFUSED, id="the request is wrong"),
        pytest.param(GOOD, failed(Failure.OVERLOADED), Verdict.OVERLOADED, id="the canary has no room"),
        pytest.param(
            failed(Failure.OVERLOADED), failed(Failure.SERVER_ERROR), Verdict.OVERLOADED, id="one has no room"
        ),
        pytest.param(GOOD, failed(Failure.AWAY), Verdict.AWAY, id="the canary is not there"),
        pytest.param(failed(Failure.AWAY), failed(Failure.SERVER_ERROR), Verdict.AWAY, id="stable is not there"),
    ],
)
def test_the_verdict_says_who_did_what(stable, canary, verdict):
    assert compared(stable, canary).verdict is verdict


def test_only_two_answers_can_flip():
    assert compared(GOOD, answered("no")).flips == (("yes", "no"),)
    assert compared(GOOD, failed(Failure.TIMEOUT)).flips == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>busy</html>", id="html"),
        pytest.param(b'[{"label": "yes", "score": NaN}]', id="NaN"),
        pytest.param(b'[{"label": "yes", "score": 0.9, "more": NaN}]', id="NaN beside a good score"),
        pytest.param(b'[{"label": "yes", "score": Infinity}]', id="infinity"),
        pytest.param(b'[{"label": "yes", "score": 1e999}]', id="a number that overflows"),
        pytest.param(b'[{"label": "yes", "score": ' + b"9" * 5000 + b"}]", id="a number of 5,000 digits"),
        pytest.param(b"[" * 100_000, id="endless nesting"),
        pytest.param(b'[{"label": "\xff", "score": 1}]', id="no UTF-8"),
        pytest.param(b'{"error": "out of memory"}', id="an error with status 200"),
    ],
)
def test_a_body_that_is_no_answer_is_a_failure_of_the_revision(body):
    assert side(body).failure is Failure.UNREADABLE


@pytest.mark.parametrize("score", [-0.1, 1.1, 1e300])
def test_a_confidence_that_is_no_share_is_a_failure_on_golden_rows_alone(score):
    body = json.dumps([{"label": "yes", "score": score}]).encode()
    assert (side(body).failure, side(body, is_golden=True).failure) == (None, Failure.UNREADABLE)


def test_two_choices_for_the_one_text_of_a_golden_row_are_a_failure():
    assert side(b'[[{"label": "a", "score": 1}], [{"label": "b", "score": 1}]]', is_golden=True).failure


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (200, None),
        (201, Failure.SERVER_ERROR),
        (302, Failure.SERVER_ERROR),
        (400, Failure.REFUSED),
        (413, Failure.REFUSED),
        (429, Failure.OVERLOADED),
        (499, Failure.REFUSED),
        (500, Failure.SERVER_ERROR),
        (503, Failure.SERVER_ERROR),
    ],
)
def test_a_status_has_its_class(status, failure):
    assert failure_of(status) is failure


def test_a_server_that_has_not_begun_a_request_is_not_there():
    assert failure_of(503, not_begun=True) is Failure.AWAY
