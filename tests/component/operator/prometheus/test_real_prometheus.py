"""The door and its queries against a real Prometheus that scrapes this process."""

from __future__ import annotations

import re
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge
from scraped_numbers import PER_SECOND, require_prometheus, scraped

from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_operator.prometheus.answer import Number, Unanswered
from tuneloop_operator.prometheus.door import Place, PrometheusDoor
from tuneloop_operator.prometheus.query import any_of, equals, increase, none_of, total, written

NAMES = {"namespace": "team-a", "deployment": "reviews", "revision": "reviews.1a"}
SLICES = ['"', "'", "`", "\\", "a\nb", '"} or vector(9) #', "\\\\", '\\"', "\ufffd", "a.b", "axb", "a|b", "^$", "é 😀", "(", "[", "\t", "{{x}}"]  # fmt: skip


FULL_WINDOW = written("count_over_time(ticks_total[5s]) >= 4", {})
"""Before that, a rate is too small: it is only extended by half of the time between two samples."""
STRINGS = [
    (quote, operator, number)
    for quote in "\"'`"
    for operator in ("=", "=~")
    for number, text in enumerate(SLICES)
    if quote != "`" or text not in {"`", "\ufffd"}  # a raw string has no escapes
]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    require_prometheus()
    registry = CollectorRegistry()
    slices = Gauge("slice_rows", "One series for each odd text.", ["slice"], registry=registry)
    for number, text in enumerate(SLICES):
        slices.labels(slice=text).set(2**number)
    with scraped(tmp_path_factory.mktemp("prometheus"), registry) as found:
        found.prometheus.targets([Target(address=found.address, **NAMES)])
        found.until(total("ticks_total"))
        yield found


def test_a_counter_has_a_rate(numbers):
    numbers.until(FULL_WINDOW)
    query = written('sum(rate(ticks_total{revision="{{revision}}"}[5s]))', NAMES)
    assert numbers.ask(query).value == pytest.approx(PER_SECOND, rel=0.5)


def test_a_counter_has_an_increase(numbers):
    numbers.until(FULL_WINDOW)
    query = increase("ticks_total", equals("namespace", "team-a"), seconds=5)
    assert numbers.ask(query).value == pytest.approx(5 * PER_SECOND, rel=0.5)


@pytest.mark.parametrize("number", range(len(SLICES)))
def test_each_text_of_a_label_finds_its_own_series(numbers, number):
    text = SLICES[number]
    assert numbers.ask(total("slice_rows", equals("slice", text))).value == 2**number
    assert numbers.ask(total("slice_rows", any_of("slice", text))).value == 2**number
    assert numbers.ask(total("slice_rows", none_of("slice", text))).value == 2 ** len(SLICES) - 1 - 2**number


def test_several_texts_find_their_series(numbers):
    assert numbers.ask(total("slice_rows", any_of("slice", *SLICES))).value == 2 ** len(SLICES) - 1
    assert isinstance(numbers.ask(total("slice_rows", none_of("slice", *SLICES))), Unanswered)


@pytest.mark.parametrize(("quote", "operator", "number"), STRINGS)
def test_each_text_of_a_variable_finds_its_own_series(numbers, quote, operator, number):
    text = SLICES[number]
    query = written(f"sum(slice_rows{{slice{operator}{quote}{{{{text}}}}{quote}}})", {"text": text})
    assert numbers.ask(query).value == 2**number


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        pytest.param("slice_rows", f"the result has {len(SLICES)} series, and one is needed", id="many series"),
        pytest.param("vector(0) / 0", "the value is NaN, which is no finite number", id="NaN"),
        pytest.param("0 / 0", "the value is NaN", id="NaN as a scalar"),
        pytest.param("1 / 0", r"the value is \+Inf", id="infinite"),
        pytest.param("scalar(slice_rows)", "the value is NaN", id="a scalar of many"),
        pytest.param('"1"', "the result is string", id="a string"),
        pytest.param("ticks_total[5s]", "the result is matrix", id="a matrix"),
        pytest.param("sum(", "HTTP 400, bad_data: .*parse error", id="no PromQL"),
        pytest.param("", "HTTP 400, bad_data: .*", id="nothing"),
        pytest.param(
            "rate(ticks_total[5s]) + on() slice_rows",
            "HTTP 422, execution: found duplicate series",
            id="a query that cannot be carried out",
        ),
    ],
)
def test_what_has_no_number_is_an_error(numbers, query, sentence):
    answer = numbers.ask(written(query, {}))
    assert isinstance(answer, Unanswered)
    assert answer.verdict == "Error"
    assert re.fullmatch(f"Prometheus at {numbers.prometheus.url}: {sentence}.*", answer.reason), answer.reason


@pytest.mark.parametrize(
    "query", ["nothing_of_this_name", "ticks_total offset 1d", 'ticks_total{revision="other"}', "ticks_total < 0"]
)
def test_an_empty_result_is_no_data(numbers, query):
    answer = numbers.ask(written(query, {}))
    assert isinstance(answer, Unanswered)
    assert (answer.verdict, answer.reason) == (
        "NoData",
        f"Prometheus at {numbers.prometheus.url}: the query has an empty result",
    )


@pytest.mark.parametrize(("seconds", "side"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_wrong_shows(numbers, seconds, side):
    async def life():
        place = Place(address=numbers.prometheus.url)
        async with PrometheusDoor(place, clock=lambda: time.time() + seconds) as door:
            return await door.ask(total("up"))

    answer = numbers.run(life())
    assert isinstance(answer, Unanswered)
    assert answer.verdict == "Error"
    assert re.search(rf"of a time 3[56]\d\d s {side} this clock", answer.reason)


def test_a_scalar_is_a_number(numbers):
    answer = numbers.ask(written("scalar(count(up == 1)) # one target", {}))
    assert isinstance(answer, Number)
    assert answer.value == 1.0
