"""Queries: whatever a name or a label holds, it stays where it was put."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promql_strings import read_string, strings

from tuneloop_operator.errors import InvalidQuery
from tuneloop_operator.prometheus.query import any_of, equals, increase, none_of, total, written

NAMES = {"namespace": "team-a", "deployment": "reviews", "revision": "reviews-1a2b"}
ENDS = st.sampled_from(
    ['"', "'", "`", "\\", "\n", "}", "{{", "#", '"} or up{x="', "\\\\", '\\"', "\ufffd", "$", ".*", "|"]
)
HOSTILE = st.lists(ENDS | st.text(max_size=4), max_size=8).map("".join)


def literal_of(expression: str) -> str:
    """Return the text that an RE2 expression of escaped letters stands for; fail if a letter has another meaning."""
    assert re.fullmatch(r"(\\[^a-zA-Z0-9]|[^\\.+*?()|\[\]{}^$])*", expression, re.DOTALL), expression
    return re.sub(r"\\(.)", r"\1", expression, flags=re.DOTALL)


def alternatives(expression: str) -> list[str]:
    """Return the parts of an expression between bars that are not escaped."""
    letters = re.findall(r"\\.|[^\\]", expression, re.DOTALL)
    return "".join("\0|" if letter == "|" else letter for letter in letters).split("\0|")


def test_a_gauge_is_summed_over_its_series():
    query = total("tuneloop_inflight_requests", equals("namespace", "team-a"), equals("revision", "reviews-1a2b"))
    assert query == 'sum(tuneloop_inflight_requests{namespace="team-a",revision="reviews-1a2b"})'


def test_a_counter_has_a_window():
    query = increase("tuneloop_requests_total", none_of("reason", "ok", "validation"), seconds=300)
    assert query == 'sum(increase(tuneloop_requests_total{reason!~"ok|validation"}[300s]))'


def test_a_metric_without_matchers_is_itself():
    assert total("up") == "sum(up{})"


@given(HOSTILE)
def test_no_value_leaves_its_matcher(value):
    query = total("up", equals("slice", value), equals("namespace", "team-a"))
    read, end = read_string(query, len("sum(up{slice="))
    assert read == value
    assert query[end:] == ',namespace="team-a"})'


@given(st.lists(HOSTILE, min_size=1, max_size=3), st.sampled_from([(any_of, "=~"), (none_of, "!~")]))
def test_each_alternative_is_one_value_and_no_other(values, kind):
    matcher, operator = kind
    query = total("up", matcher("slice", *values))
    read, end = read_string(query, len(f"sum(up{{slice{operator}"))
    assert query[end:] == "})"
    assert [literal_of(part) for part in alternatives(read)] == values


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_of_a_surrogate_pair_is_no_label(text):
    with pytest.raises(InvalidQuery, match="half of a surrogate pair"):
        equals("slice", text)


@pytest.mark.parametrize("matcher", [any_of, none_of])
def test_a_matcher_of_no_value_is_refused(matcher):
    with pytest.raises(InvalidQuery, match="the matcher of slice has no value"):
        matcher("slice")


@pytest.mark.parametrize("name", ["", "a-b", "1a", "up{}", "up\n", "é", 'a"', "a b"])
def test_only_a_name_is_a_metric_or_a_label(name):
    with pytest.raises(InvalidQuery, match="is no name of a metric or label"):
        total(name)
    with pytest.raises(InvalidQuery, match="is no name of a metric or label"):
        equals(name, "x")


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_window_is_a_second_at_least(seconds):
    with pytest.raises(InvalidQuery, match="allowed is 1 s or more"):
        increase("up", seconds=seconds)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        pytest.param('up{revision="{{revision}}"}', 'up{revision="reviews-1a2b"}', id="double quotes"),
        pytest.param("up{revision='{{ revision }}'}", "up{revision='reviews-1a2b'}", id="single quotes and blanks"),
        pytest.param("up{revision=`{{revision}}`}", "up{revision=`reviews-1a2b`}", id="a raw string"),
        pytest.param(
            'up{pod=~"{{deployment}}-.*"}', 'up{pod=~"reviews-.*"}', id="the rest of an expression keeps its meaning"
        ),
        pytest.param('a{x="{{namespace}}/{{namespace}}"}', 'a{x="team-a/team-a"}', id="twice in a string"),
        pytest.param('a{x="{{{namespace}}}"}', 'a{x="{team-a}"}', id="in braces of its own"),
        pytest.param("sum(rate(up[5m])) # {{of}} 'us\n", "sum(rate(up[5m])) # {{of}} 'us\n", id="a comment stays"),
        pytest.param('a{x="\\"{{namespace}}"}', 'a{x="\\"team-a"}', id="behind an escaped quote"),
        pytest.param('a{x="}", y="{{namespace}}"}', 'a{x="}", y="team-a"}', id="a brace in a string ends nothing"),
        pytest.param('a{x="# {{namespace}}"}', 'a{x="# team-a"}', id="no comment begins in a string"),
    ],
)
def test_a_written_query_gets_its_names(text, query):
    assert written(text, NAMES) == query


@pytest.mark.parametrize("gap", ["", " ", "\n\t", " # x\n ", '# "\n'])
@pytest.mark.parametrize(("operator", "value"), [("=~", "a\\\\.b"), ("!~", "a\\\\.b"), ("=", "a.b"), ("!=", "a.b")])
def test_a_dot_is_a_dot_in_expressions(operator, gap, value):
    query = written(f'up{{pod{operator}{gap}"{{{{revision}}}}"}}', {"revision": "a.b"})
    assert query == f'up{{pod{operator}{gap}"{value}"}}'


@given(HOSTILE, st.sampled_from("\"'"))
def test_no_name_leaves_its_string(name, quote):
    query = written(f"a{{x={quote}<{{{{revision}}}}>{quote}}} + b{{y='z'}}", {"revision": name})
    assert strings(query) == [f"<{name}>", "z"]


@given(HOSTILE, st.sampled_from("\"'"))
def test_no_name_leaves_its_expression(name, quote):
    query = written(f"a{{x=~{quote}({{{{revision}}}}){quote}}}", {"revision": name})
    (expression,) = strings(query)
    assert literal_of(expression.removeprefix("(").removesuffix(")")) == name


@given(HOSTILE)
def test_a_raw_string_takes_no_name_with_its_quote(name):
    if "`" not in name:
        assert strings(written("a{x=`{{revision}}`}", {"revision": name})) == [name]
        return
    with pytest.raises(InvalidQuery, match="has no escapes"):
        written("a{x=`{{revision}}`}", {"revision": name})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("{{revision}}_total", "outside of a string", id="as a part of a metric"),
        pytest.param('up{x="a}', "a string without an end", id="an open string"),
        pytest.param("up{x='a\n'}", "a string without an end", id="a string over two lines"),
        pytest.param("up{x=`a}", "a string without an end", id="an open raw string"),
        pytest.param(
            'up{x="{{revison}}"}', r"names \{\{revison\}\}; allowed are \{\{namespace\}\}, ", id="a typing mistake"
        ),
        pytest.param('up{x="{{}}"}', r"names \{\{\}\}; allowed are ", id="no name"),
        pytest.param("up{x='\ud800'}", "half of a surrogate pair", id="no UTF-8"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(text, sentence):
    with pytest.raises(InvalidQuery, match=sentence):
        written(text, NAMES)


@given(st.text())
def test_a_query_without_variables_stays_as_it_is_or_is_refused(text):
    try:
        assert written(text, {}) == text
    except InvalidQuery:
        assert re.search(r"[\"'`]|\{\{|[\ud800-\udfff]", text)
