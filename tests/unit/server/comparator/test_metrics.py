"""What Prometheus reads of a comparator: names, labels, and few enough series."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tuneloop_api.contract.comparator_config import ComparatorConfig
from tuneloop_api.contract.comparison import RATIO_EDGES, ComparisonCounts
from tuneloop_server.answers.answer_format import Choice
from tuneloop_server.comparator.copies import Arrival
from tuneloop_server.comparator.metrics import ComparatorMetrics
from tuneloop_server.comparator.replies import Failure
from tuneloop_server.comparator.service import ComparatorService
from tuneloop_server.comparator.verdicts import Side, compared

CONSTANT = {"deployment": "reviews", "stable": "5f0a1b2c", "canary": "9d8e7f6a"}


def config(**changes) -> ComparatorConfig:
    return ComparatorConfig.from_wire(
        {
            "namespace": "team",
            "name": "reviews",
            "task": "text-classification",
            "labels": ["no", "yes"],
            "stable": {"name": CONSTANT["stable"], "host": "127.0.0.1"},
            "canary": {"name": CONSTANT["canary"], "host": "127.0.0.1"},
            "golden": {"path": "/golden.jsonl"},
        }
        | changes
    )


def samples_of(service) -> list:
    registry = CollectorRegistry()
    registry.register(ComparatorMetrics(service))
    text = generate_latest(registry).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def side(label: str, seconds: float = 1.0) -> Side:
    return Side(choices=[Choice(classes={0: label}, confidence=0.75)], seconds=seconds)


async def counted(labels=("no", "yes"), *, task="text-classification") -> tuple[list, ComparisonCounts]:
    """Samples and counts after a pair of each kind from both sources."""
    service = ComparatorService(config(labels=list(labels), task=task))
    service.arrivals.update(Arrival)
    for tally in (service.live, service.replays.pairs):
        for stable, canary in itertools.product([*labels, "made up", "none"], repeat=2):
            tally.add(compared(side(stable), side(canary, 1.5)), is_warm=True)
        for failure in Failure:
            tally.add(compared(Side(failure=failure), side("no")), is_warm=True)
    (stable,), (canary,) = side("yes").choices, side("no").choices
    service.replays.labelled.add(stable=stable, canary=canary, right=stable.classes)
    return samples_of(service), service.counts()


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
@pytest.mark.parametrize("count", [2, 5, 6, 30])
def test_there_are_at_most_200_series_whatever_the_model_names_and_answers(task, count):
    samples, _ = asyncio.run(counted([f"B-{number}" for number in range(count)], task=task))
    assert len(samples) <= 200


def test_every_label_is_a_word_of_ours_a_revision_or_a_class():
    samples, _ = asyncio.run(counted())
    names = {name for sample in samples for name in sample.labels}
    assert names == {
        *CONSTANT,
        *("outcome", "source", "verdict", "role", "reason", "stable_class", "canary_class", "le"),
        *("term", "sign", "state"),
    }
    assert all(sample.labels | CONSTANT == sample.labels for sample in samples)
    classes = {sample.labels["canary_class"] for sample in samples if "canary_class" in sample.labels}
    assert classes == {"no", "yes", "none", "other"}


def test_the_names_are_those_of_dashboards_and_queries():
    samples, _ = asyncio.run(counted())
    names = Counter(sample.name.removeprefix("tuneloop_") for sample in samples)
    assert names == {
        "shadow_copies_total": 7,
        "shadow_comparisons_total": 16,
        "shadow_failures_total": 16,
        "shadow_flips_total": 12,
        "shadow_latency_ratio_bucket": 2 * (len(RATIO_EDGES) + 1),
        "shadow_latency_ratio_count": 2,
        "shadow_latency_ratio_sum": 2,
        "shadow_waiting_copies": 1,
        "shadow_inflight_pairs": 1,
        "draining": 1,
        "golden_rows_total": 4,
        "golden_gap_rows_total": 1,
        "golden_gap_total": 8,
        "golden_replays_total": 1,
        "golden_replays_wanted": 1,
        "golden_replay_done_rows": 1,
        "golden_set_rows": 2,
    }


def test_the_metrics_show_the_numbers_of_the_counts():
    samples, counts = asyncio.run(counted())

    def value(name: str, **labels: str) -> float:
        (found,) = [s for s in samples if s.name == f"tuneloop_{name}" and s.labels == CONSTANT | labels]
        return found.value

    assert value("shadow_comparisons_total", source="live", verdict="disagree") == counts.live.disagree > 0
    assert value("shadow_comparisons_total", source="golden", verdict="agree") == counts.golden.pairs.agree > 0
    both = counts.live.stable_failures.timeout + counts.golden.pairs.stable_failures.timeout
    assert value("shadow_failures_total", role="stable", reason="timeout") == both == 2
    assert value("golden_rows_total", outcome="canary_wrong") == counts.golden.labelled.canary_only == 1
    gaps = counts.golden.labelled.gaps
    for term in ("canary", "stable", "product"):
        added, taken = (value("golden_gap_total", term=term, sign=sign) for sign in ("added", "taken"))
        assert added - taken == getattr(gaps, term)
    assert (gaps.canary, gaps.stable, gaps.product) == (0.75, -0.25, -0.1875)


def test_the_buckets_are_the_bins_of_the_counts_in_order():
    samples, counts = asyncio.run(counted())
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in samples
        if sample.name == "tuneloop_shadow_latency_ratio_bucket" and sample.labels["source"] == "live"
    ]
    edges = [edge for edge, _ in buckets]
    assert edges[:-1] == pytest.approx([1 + edge for edge in RATIO_EDGES], rel=1e-5)
    assert edges == sorted(set(edges))
    assert [after - before for (_, before), (_, after) in itertools.pairwise([(0, 0), *buckets])] == (
        counts.live.latency_ratios
    )


def test_every_counter_but_flips_is_there_from_the_start():
    async def fresh() -> list:
        return samples_of(ComparatorService(config()))

    names = {sample.name for sample in asyncio.run(fresh())}
    later, _ = asyncio.run(counted())
    assert {sample.name for sample in later} - names == {"tuneloop_shadow_flips_total"}


def test_the_counts_are_a_message_that_reads_back():
    _, counts = asyncio.run(counted())
    assert ComparisonCounts.from_wire(json.loads(json.dumps(counts.to_wire()))) == counts
