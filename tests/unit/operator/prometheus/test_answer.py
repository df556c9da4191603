"""Answers: exactly one finite number of now, or why there is none. Nothing else is ever a number."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_replies import ERRORS, NOW, success, vector

from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict
from tuneloop_operator.prometheus.answer import (
    CLOCK_DIFFERENCE_SECONDS,
    MOST_BYTES,
    Number,
    Reply,
    Unanswered,
    answer_of,
)


def read(body, *, status=200, content_type="application/json", answered=NOW):
    return answer_of(Reply(status=status, content_type=content_type, body=body), asked=NOW, answered=answered)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0.0), ("12", 12.0), ("-0.25", -0.25), ("1.5e+06", 1.5e6), ("+3E-2", 0.03), ("0." + "3" * 40, 1 / 3)],
)
def test_one_series_is_a_number(text, value):
    assert read(success(vector(text))) == Number(value=value, at=NOW)


def test_a_scalar_is_a_number():
    assert read(success({"resultType": "scalar", "result": [NOW, "2"]})) == Number(value=2.0, at=NOW)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"])
def test_json_has_a_content_type_of_its_own(content_type):
    assert isinstance(read(success(vector("1")), content_type=content_type), Number)


def test_what_is_unknown_is_left_alone():
    body = success(
        vector("1") | {"stats": {}}, infos=["PromQL info: metric might not be a counter"], isPartial=False, warnings=[]
    )
    assert isinstance(read(body), Number)


def test_an_empty_result_is_no_data():
    assert read(success(vector())) == Unanswered(verdict="NoData", reason="the query has an empty result")


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_no_number_is_an_error(name):
    body, sentence = ERRORS[name]
    answer = read(body)
    assert isinstance(answer, Unanswered)
    assert answer.verdict == "Error"
    assert re.search(sentence, answer.reason), answer.reason


@pytest.mark.parametrize(
    "content_type", ["", "text/html; charset=utf-8", "text/plain", "application/jsonp", "application/x-json"]
)
def test_only_json_is_read(content_type):
    answer = read(success(vector("1")), content_type=content_type)
    assert isinstance(answer, Unanswered)
    assert answer.reason.endswith("in place of application/json: is it the address of Prometheus?")


@pytest.mark.parametrize("status", [204, 206, 400, 401, 422, 500, 503])
def test_only_200_is_an_answer(status):
    answer = read(success(vector("1")), status=status)
    assert answer == Unanswered(verdict="Error", reason=f"HTTP {status}, without success, and without a reason")


def test_a_foreign_text_is_short_and_on_one_line():
    body = json.dumps({"status": "error", "errorType": "x\x1b[31m\n", "error": "y" * 1000}).encode()
    answer = read(body, status=422)
    assert isinstance(answer, Unanswered)
    assert answer.reason == f"HTTP 422, x [31m: {'y' * 200}…"


@pytest.mark.parametrize("seconds", [-CLOCK_DIFFERENCE_SECONDS, 0, CLOCK_DIFFERENCE_SECONDS])
def test_clocks_may_differ_a_little(seconds):
    assert isinstance(read(success(vector("1", at=NOW + seconds))), Number)


def test_a_slow_answer_is_not_old():
    assert isinstance(read(success(vector("1")), answered=NOW + 2 * CLOCK_DIFFERENCE_SECONDS), Number)


def test_the_largest_body_is_read():
    assert isinstance(read(success(vector("1")).ljust(MOST_BYTES)), Number)


def test_a_gate_has_the_same_words():
    empty = read(success(vector()))
    assert isinstance(empty, Unanswered)
    assert Missing.of(empty) == Missing(verdict=Verdict.NO_DATA, reason="the query has an empty result")
    broken = read(b"")
    assert isinstance(broken, Unanswered)
    assert Missing.of(broken).verdict is Verdict.ERROR


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["1", "success", "NaN"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=8,
)


@given(st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()), st.integers(100, 599))
def test_garbage_is_never_a_number(body, status):
    answer = read(body, status=status)
    assert isinstance(answer, Unanswered)
    assert answer.verdict == "Error"


@example(None, "value")
@given(JSON_VALUES, st.sampled_from(["status", "data", "resultType", "result", "0", "value", "at", "text"]))
def test_a_document_with_one_part_of_garbage_is_a_number_only_if_the_part_could_be_one(garbage, place):
    document = {"status": "success", "data": vector("1")}
    first = document["data"]["result"][0]
    holders = {
        "status": (document, "status"),
        "data": (document, "data"),
        "resultType": (document["data"], "resultType"),
    }
    holders |= {"result": (document["data"], "result"), "0": (document["data"]["result"], 0), "value": (first, "value")}
    holders |= {"at": (first["value"], 0), "text": (first["value"], 1)}
    holder, key = holders[place]
    before, holder[key] = holder[key], garbage
    answer = read(json.dumps(document).encode())
    if garbage == before:
        assert isinstance(answer, Number)
    elif place == "result" and garbage == []:
        assert answer == Unanswered(verdict="NoData", reason="the query has an empty result")
    else:
        assert isinstance(answer, Unanswered)
        assert answer.verdict == "Error"


@given(st.text())
def test_a_text_is_a_number_only_if_it_is_one_in_ascii(text):
    answer = read(success(vector(text)))
    if isinstance(answer, Number):
        assert text.isascii()
        assert math.isfinite(answer.value)
        assert answer.value == float(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_each_finite_number_comes_through(value):
    assert read(success(vector(repr(value)))) == Number(value=value, at=NOW)


@given(st.data())
def test_an_answer_that_is_cut_or_changed_in_a_byte_never_raises(data):
    body = success(vector("1"), warnings=[])
    place = data.draw(st.integers(0, len(body) - 1))
    change = data.draw(st.binary(max_size=2))
    answer = read(body[:place] + change + body[place + 1 :])
    assert isinstance(answer, Number | Unanswered)
