"""The counts in Prometheus' text format: the numbers of `GET /v1/counts`, and how much is under way. At most 200 series.

A counter is there from the start, at zero, so that a query over a window finds its beginning; pairs of classes come as they are seen, at most
43. There are no labels but words of ours, the names of the two revisions, and the first few classes of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from tuneloop_api.contract.comparison import RATIO_EDGES
from tuneloop_server.answers.generated import Ending
from tuneloop_server.comparator.copies import Arrival
from tuneloop_server.comparator.labelled import TERMS
from tuneloop_server.comparator.replies import Failure
from tuneloop_server.comparator.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from tuneloop_server.comparator.labelled import PairedNumbers
    from tuneloop_server.comparator.latency import LatencyRatios
    from tuneloop_server.comparator.replays import Replays
    from tuneloop_server.comparator.service import ComparatorService
    from tuneloop_server.comparator.tally import Tally

_EDGE_NAMES = (*(f"{1 + edge:.6g}" for edge in RATIO_EDGES), "+Inf")
"""Values of `le`. Which bin a pair is in does not depend on how its edge is written."""
_SQUARES = ("canary_squared", "stable_squared")


class ComparatorMetrics(Collector):
    """Reads the counts at each scrape."""

    def __init__(self, service: ComparatorService) -> None:
        self._service = service
        config = service.config
        self._constant = {"deployment": config.name, "stable": config.stable.name, "canary": config.canary.name}

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        service = self._service
        yield self._counters(
            "tuneloop_shadow_copies",
            "Copies of live requests, by what became of them on arrival.",
            {(arrival,): service.arrivals[arrival] for arrival in Arrival},
            "outcome",
        )
        yield from self._pairs()
        yield self._gauges("tuneloop_shadow_waiting_copies", "Copies that wait.", {(): len(service.backlog)})
        yield self._gauges("tuneloop_shadow_inflight_pairs", "Pairs under way.", {(): service.slots.taken})
        yield self._gauges("tuneloop_draining", "1 once it was asked to stop.", {(): int(service.is_draining)})
        if service.replays is not None:
            yield from self._golden(service.replays)
        if service.generates:
            yield from self._texts()

    @property
    def _tallies(self) -> dict[str, Tally]:
        """Tallies by source."""
        service = self._service
        return {"live": service.live} | ({"golden": service.replays.pairs} if service.replays else {})

    def _pairs(self) -> Iterator[Metric]:
        tallies = self._tallies
        yield self._counters(
            "tuneloop_shadow_comparisons",
            "Requests that both revisions were asked, by source (live, golden) and verdict.",
            {(source, verdict): tally.verdicts[verdict] for source, tally in tallies.items() for verdict in Verdict},
            *("source", "verdict"),
        )
        failures: dict[tuple[str, ...], float] = {}
        flips: dict[tuple[str, ...], float] = {}
        for tally in tallies.values():
            for role, counts in (("stable", tally.stable_failures), ("canary", tally.canary_failures)):
                for reason in Failure:
                    failures[role, reason] = failures.get((role, reason), 0) + counts[reason]
            for flip in tally.flips.message():
                flips[flip.stable, flip.canary] = flips.get((flip.stable, flip.canary), 0) + flip.count
        yield self._counters(
            "tuneloop_shadow_failures", "Requests that a revision did not answer.", failures, *("role", "reason")
        )
        yield self._counters(
            "tuneloop_shadow_flips",
            "Texts or places in them for which the canary chose another class.",
            flips,
            *("stable_class", "canary_class"),
        )
        yield self._ratios({source: tally.ratios for source, tally in tallies.items()})

    def _ratios(self, by_source: dict[str, LatencyRatios]) -> Metric:
        family = HistogramMetricFamily(
            "tuneloop_shadow_latency_ratio",
            "Canary's time / stable's time on the same request, after the warm-up.",
            labels=[*self._constant, "source"],
        )
        for source, ratios in by_source.items():
            total, buckets = 0, []
            for name, count in zip(_EDGE_NAMES, ratios.counts, strict=True):
                total += count
                buckets.append((name, total))
            family.add_metric([*self._constant.values(), source], buckets, sum_value=ratios.sum)
        return family

    def _golden(self, replays: Replays) -> Iterator[Metric]:
        labelled, progress = replays.labelled, replays.message()
        wrong = {
            "both_wrong": labelled.both_wrong,
            "canary_wrong": labelled.canary_only,
            "stable_wrong": labelled.stable_only,
        }
        outcomes = wrong | {"both_right": labelled.rows - sum(wrong.values())}
        yield self._counters(
            "tuneloop_golden_rows",
            "Golden rows with a label; a revision that does not answer is wrong.",
            {(outcome,): count for outcome, count in outcomes.items()},
            "outcome",
        )
        yield self._counters(
            "tuneloop_golden_gap_rows", "Of these the rows with two confidences.", {(): labelled.gaps.rows}
        )
        sums = [("added", labelled.gaps.added), ("taken", labelled.gaps.taken)]
        yield self._counters(
            "tuneloop_golden_gap",
            "Sums of confidence - correctness over these rows, of squares and of products; added - taken is the sum.",
            {(t, sign): by[t] for sign, by in sums for t in TERMS if sign == "added" or t not in _SQUARES},
            *("term", "sign"),
        )
        yield self._counters("tuneloop_golden_replays", "Complete replays.", {(): progress.completed})
        yield self._gauges("tuneloop_golden_replays_wanted", "Replays that there are to be.", {(): progress.wanted})
        yield self._gauges(
            "tuneloop_golden_replay_done_rows", "Rows of the replay under way.", {(): progress.rows_done}
        )
        rows = [("usable", progress.rows), ("bad", progress.bad_rows)]
        yield self._gauges(
            "tuneloop_golden_set_rows", "Rows of the golden set.", {(state,): n for state, n in rows}, "state"
        )

    def _texts(self) -> Iterator[Metric]:
        tallies = self._tallies
        yield self._counters(
            "tuneloop_shadow_similarity_pairs",
            "Pairs of generated answers.",
            {(source,): tally.similarities.pairs for source, tally in tallies.items()},
            "source",
        )
        sums: dict[tuple[str, ...], float] = {}
        for source, tally in tallies.items():
            sums |= {(source, "similarity"): tally.similarities.sum, (source, "squared"): tally.similarities.squares}
        yield self._counters(
            "tuneloop_shadow_similarity",
            "Sums over these pairs of how alike both answers are, from 0 to 1, and of its squares.",
            sums,
            *("source", "term"),
        )
        endings: dict[tuple[str, ...], float] = {}
        tokens: dict[tuple[str, ...], float] = {}
        for tally in tallies.values():
            for role, texts in (("stable", tally.stable_texts), ("canary", tally.canary_texts)):
                tokens[(role,)] = tokens.get((role,), 0) + texts.tokens
                for ending in Ending:
                    endings[role, ending] = endings.get((role, ending), 0) + texts.endings[ending]
        yield self._counters(
            "tuneloop_shadow_generated_texts",
            "Texts that a revision generated where both answered, by how they ended.",
            endings,
            *("role", "ending"),
        )
        yield self._counters("tuneloop_shadow_generated_tokens", "Tokens of these texts.", tokens, "role")
        if self._service.replays is not None:
            yield from self._golden_texts(self._service.replays.labelled.similarity)

    def _golden_texts(self, similarity: PairedNumbers) -> Iterator[Metric]:
        yield self._counters(
            "tuneloop_golden_similarity_rows", "Golden rows with a text as their label.", {(): similarity.rows}
        )
        yield self._counters(
            "tuneloop_golden_similarity",
            "Sums over these rows of how alike an answer and the label are, from 0 to 1, of squares and of products.",
            {(term,): similarity.added[term] for term in TERMS},
            "term",
        )

    def _counters(self, name: str, text: str, values: dict[tuple[str, ...], float], *labels: str) -> Metric:
        family = CounterMetricFamily(name, text, labels=[*self._constant, *labels])
        for key, value in values.items():
            family.add_metric([*self._constant.values(), *map(str, key)], value)
        return family

    def _gauges(self, name: str, text: str, values: dict[tuple[str, ...], float], *labels: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=[*self._constant, *labels])
        for key, value in values.items():
            family.add_metric([*self._constant.values(), *map(str, key)], value)
        return family
