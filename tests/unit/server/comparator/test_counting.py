"""Counts of pairs: whatever comes in whatever order, they sum up, stay bounded, and fit the gates."""

from __future__ import annotations

import dataclasses
import itertools
import random
import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tuneloop_api.contract.comparison import RATIO_EDGES, LabelledCounts, PairCounts, PairedSums
from tuneloop_operator.decide.model_deployment.gates import latency, paired, paired_sums
from tuneloop_server.answers.answer_format import Choice
from tuneloop_server.comparator.class_pairs import MOST_NAMED, OTHER, ClassPairs
from tuneloop_server.comparator.labelled import LabelledTally
from tuneloop_server.comparator.latency import LatencyRatios, WarmUp
from tuneloop_server.comparator.replies import Failure
from tuneloop_server.comparator.tally import Tally
from tuneloop_server.comparator.verdicts import Side, Verdict, compared

LABELS = ("a", "b", "c")
SECONDS = st.floats(min_value=1e-6, max_value=1e3)
SHARES = st.floats(min_value=0, max_value=1)


def choice(label: str, confidence: float | None = 0.5) -> Choice:
    return Choice(classes={0: label}, confidence=confidence)


SIDES = st.builds(
    lambda label, seconds: Side(choices=[choice(label)], seconds=seconds), st.sampled_from(LABELS), SECONDS
) | st.builds(lambda failure: Side(failure=failure), st.sampled_from(Failure))
PAIRS = st.lists(st.builds(compared, SIDES, SIDES), max_size=40)


def counted(pairs, *, warm_up: int = 0) -> PairCounts:
    tally, warm = Tally(LABELS), WarmUp(warm_up)
    for pair in pairs:
        tally.add(pair, is_warm=pair.answered_by_both and warm.is_over())
    return tally.message()


@given(pairs=PAIRS)
def test_every_pair_has_one_verdict(pairs):
    found = counted(pairs)
    assert sum(getattr(found, verdict) for verdict in Verdict) == len(pairs)


@given(pairs=PAIRS)
def test_failures_and_flips_are_those_of_the_pairs(pairs):
    found = counted(pairs)
    for side, failures in (("stable", found.stable_failures), ("canary", found.canary_failures)):
        assert sum(failures.model_dump().values()) == sum(getattr(pair, side).failure is not None for pair in pairs)
    assert sum(flip.count for flip in found.flips) == found.disagree


@given(pairs=PAIRS, warm_up=st.integers(0, 50))
def test_times_are_compared_of_pairs_that_both_answered_after_the_warm_up(pairs, warm_up):
    found = counted(pairs, warm_up=warm_up)
    assert sum(found.latency_ratios) == max(0, found.agree + found.disagree - warm_up)


@given(pairs=PAIRS, seed=st.integers(0, 1000))
def test_the_order_of_pairs_does_not_matter(pairs, seed):
    others = random.Random(seed).sample(pairs, len(pairs))
    assert counted(others) == counted(pairs)


@given(pairs=PAIRS)
def test_no_count_ever_goes_back(pairs):
    steps = [numbers(counted(pairs[:count])) for count in range(len(pairs) + 1)]
    for before, after in itertools.pairwise(steps):
        assert all(after[name] >= value for name, value in before.items())


def numbers(counts: PairCounts) -> dict[object, int]:
    wire = counts.model_dump()
    flat: dict[object, int] = {name: value for name, value in wire.items() if isinstance(value, int)}
    flat |= {(flip["stable"], flip["canary"]): flip["count"] for flip in wire["flips"]}
    return flat | dict(enumerate(wire["latency_ratios"]))


def test_the_bins_are_those_of_the_gate():
    assert RATIO_EDGES == latency.EDGES


@given(stable=SECONDS, canary=SECONDS)
@example(stable=1.0, canary=1.0)
@example(stable=1.0, canary=1.1)
@example(stable=1.0, canary=2.0)
@example(stable=1.0, canary=20.0)
@example(stable=20.0, canary=1.0)
def test_a_pair_is_in_the_bin_that_the_gate_would_choose(stable, canary):
    ratios = LatencyRatios()
    ratios.add(stable_seconds=stable, canary_seconds=canary)
    assert ratios.counts.index(1) == latency.bin_of(canary_seconds=canary, stable_seconds=stable)


@pytest.mark.parametrize("place", range(len(RATIO_EDGES)))
def test_a_bin_holds_its_upper_edge_and_nothing_beyond(place):
    edge = RATIO_EDGES[place]
    ratios = LatencyRatios()
    ratios.add(stable_seconds=1.0, canary_seconds=(1 + edge) * (1 - 1e-9))
    ratios.add(stable_seconds=1.0, canary_seconds=(1 + edge) * (1 + 1e-9))
    assert (ratios.counts[place], ratios.counts[place + 1]) == (1, 1)


def test_a_time_of_zero_divides_nothing():
    ratios = LatencyRatios()
    ratios.add(stable_seconds=0.0, canary_seconds=0.0)
    ratios.add(stable_seconds=0.0, canary_seconds=1.0)
    assert (sum(ratios.counts), ratios.counts[-1]) == (2, 1)


def test_classes_beyond_the_first_share_a_name_so_that_pairs_are_bounded():
    names = [f"class {number}" for number in range(50)]
    pairs = ClassPairs(names)
    pairs.add(
        (stable, canary)
        for stable in [*names, "none", "made up"]
        for canary in [*names, "none", "x"]
        if stable != canary
    )
    found = pairs.message()
    assert len(found) <= 43
    assert {flip.stable for flip in found} == {*names[:MOST_NAMED], "none", OTHER}


ROWS = st.lists(
    st.tuples(st.sampled_from(LABELS), SHARES, st.sampled_from(LABELS), SHARES, st.sampled_from(LABELS)), max_size=40
)


def labelled(rows) -> LabelledCounts:
    tally = LabelledTally()
    for stable, stable_share, canary, canary_share, right in rows:
        tally.add(stable=choice(stable, stable_share), canary=choice(canary, canary_share), right={0: right})
    return tally.message()


@given(rows=ROWS)
def test_wrong_answers_are_counted_as_the_gate_counts_them(rows):
    found = labelled(rows)
    wrong = [(stable != right, canary != right) for stable, _, canary, _, right in rows]
    assert paired_counts(found) == paired.PairedCounts(
        rows=len(rows),
        both_wrong=wrong.count((True, True)),
        canary_only=wrong.count((False, True)),
        stable_only=wrong.count((True, False)),
    )
    assert paired_counts(found).makes_sense


@given(rows=ROWS)
def test_the_sums_of_gaps_are_those_of_the_gate(rows):
    gaps = [(c_share - (c == right), s_share - (s == right)) for s, s_share, c, c_share, right in rows]
    expected = dataclasses.asdict(paired_sums.PairedSums.of(gaps))
    assert labelled(rows).gaps.model_dump() == pytest.approx(expected, abs=1e-9)


def test_the_fields_are_those_of_the_gates():
    assert set(PairedSums.model_fields) == {field.name for field in dataclasses.fields(paired_sums.PairedSums)}
    assert {field.name for field in dataclasses.fields(paired.PairedCounts)} <= set(LabelledCounts.model_fields)


def test_a_row_without_a_confidence_counts_for_correctness_alone():
    tally = LabelledTally()
    tally.add(stable=choice("a", None), canary=choice("a", 0.9), right={0: "a"})
    found = tally.message()
    assert (found.rows, found.gaps.rows) == (1, 0)


@pytest.mark.parametrize(
    ("stable", "canary", "expected"),
    [
        pytest.param(choice("a", 0.9), None, (0, 1, 0), id="stable is right"),
        pytest.param(choice("b", 0.9), None, (1, 0, 0), id="stable is wrong, too"),
        pytest.param(None, choice("a", 0.9), (0, 0, 1), id="the canary is right"),
        pytest.param(None, None, (1, 0, 0), id="nobody answers"),
    ],
)
def test_a_revision_that_does_not_answer_a_row_is_wrong(stable, canary, expected):
    tally = LabelledTally()
    tally.add(stable=stable, canary=canary, right={0: "a"})
    found = tally.message()
    assert (found.both_wrong, found.canary_only, found.stable_only) == expected
    assert (found.rows, found.gaps.rows) == (1, 0)


def test_the_median_of_a_canary_that_takes_twice_the_time_is_found_by_the_gate():
    source = random.Random(1)
    ratios, exact = LatencyRatios(), []
    for _ in range(2000):
        stable, canary = source.lognormvariate(-3, 1), 0.0
        canary = stable * 2.2 * source.lognormvariate(0, 0.2)
        ratios.add(stable_seconds=stable, canary_seconds=canary)
        exact.append(canary / stable)
    histogram = latency.RatioHistogram(counts=tuple(ratios.counts))
    place = latency.bin_of(canary_seconds=statistics.median(exact), stable_seconds=1.0)
    assert sum(histogram.counts[:place]) < 1000 <= sum(histogram.counts[: place + 1])


def paired_counts(found: LabelledCounts) -> paired.PairedCounts:
    return paired.PairedCounts(
        rows=found.rows, both_wrong=found.both_wrong, canary_only=found.canary_only, stable_only=found.stable_only
    )
