"""Vectors: every series is a finite number of now, or there is none at all. What is no answer is no vector either."""

from __future__ import annotations

import pytest
from prometheus_replies import ERRORS, NOW, series, success, vector

from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.answer import (
    CLOCK_DIFFERENCE_SECONDS,
    MOST_SERIES,
    Reply,
    Series,
    Unanswered,
    Vector,
    vector_of,
)
from tuneloop_operator.prometheus.query import equals, increase_by


def read(body, *, status=200, content_type="application/json"):
    return vector_of(Reply(status=status, content_type=content_type, body=body), asked=NOW, answered=NOW)


def several(*samples):
    return success({"resultType": "vector", "result": list(samples)})


def one(value="1", *, at=NOW, **labels):
    return {"metric": labels, "value": [at, value]}


def test_each_series_has_its_labels_and_its_number():
    found = read(several(one("3.5", bin="0"), one("0", bin="1")))
    assert found == Vector(
        series=(Series(labels={"bin": "0"}, value=3.5), Series(labels={"bin": "1"}, value=0.0)), at=NOW
    )


def test_an_empty_result_is_no_data():
    assert read(success(vector())) == Unanswered(verdict="NoData", reason="the query has an empty result")


def test_as_many_series_as_allowed_are_a_vector():
    found = read(success(vector(*MOST_SERIES * ["1"])))
    assert isinstance(found, Vector)
    assert len(found.series) == MOST_SERIES


BROKEN = {
    "one series too many": (success(vector(*(MOST_SERIES + 1) * ["1"])), f"{MOST_SERIES + 1} series; allowed are {MOST_SERIES}"),
    "one of two is NaN": (several(one(bin="0"), one("NaN", bin="1")), "the value is NaN"),
    "one of two is infinite": (several(one(bin="0"), one("-Inf", bin="1")), "the value is -Inf"),
    "one of two is old": (several(one(bin="0"), one(bin="1", at=NOW - CLOCK_DIFFERENCE_SECONDS - 1)), "of a time 61 s behind"),
    "one of two is a histogram": (several(one(bin="0"), {"metric": {"bin": "1"}, "histogram": [NOW, {}]}), "native histogram"),
    "two times": (several(one(bin="0"), one(bin="1", at=NOW - 1)), "of different times"),
    "labels twice": (several(one(bin="0", feature="f"), one(feature="f", bin="0")), "two series have the same labels"),
    "no labels": (series({"value": [NOW, "1"]}), "the labels of a series are no texts"),
    "a label that is no text": (series({"metric": {"bin": 1}, "value": [NOW, "1"]}), "the labels of a series are no texts"),
    "a scalar": (success({"resultType": "scalar", "result": [NOW, "2"]}), "the result is scalar; allowed is a vector"),
    "a matrix": (success({"resultType": "matrix", "result": []}), "the result is matrix; allowed is a vector"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_one_series_that_is_no_number_makes_the_whole_an_error(name):
    body, sentence = BROKEN[name]
    found = read(body)
    assert isinstance(found, Unanswered)
    assert found.verdict == "Error"
    assert sentence in found.reason


@pytest.mark.parametrize("name", ERRORS.keys() - {"many series"})
def test_what_is_no_number_is_no_vector(name):
    found = read(ERRORS[name][0])
    assert isinstance(found, Unanswered)
    assert found.verdict == "Error"


def test_a_page_of_a_proxy_is_no_vector():
    found = read(b"<html>1</html>", content_type="text/html")
    assert isinstance(found, Unanswered)
    assert "is it the address of Prometheus?" in found.reason


def test_a_query_for_growth_by_labels():
    found = increase_by(("feature", "bin"), "t_total", equals("revision", 'a"b'), seconds=60)
    assert found == 'sum by (feature,bin) (increase(t_total{revision="a\\"b"}[60s]))'


@pytest.mark.parametrize(("labels", "seconds"), [(("a b",), 60), (("",), 60), (("bin",), 0)])
def test_what_is_no_label_or_no_window_makes_no_query(labels, seconds):
    with pytest.raises(InvalidQuery):
        increase_by(labels, "t_total", seconds=seconds)
