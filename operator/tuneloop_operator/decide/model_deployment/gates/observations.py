"""From the comparator's counts to what a gate can look at: how much there is, and the evidence at the levels of a look."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.comparison import SIMILARITY_STEPS
from tuneloop_operator.decide.model_deployment.gates.calibration import calibration_loss
from tuneloop_operator.decide.model_deployment.gates.evidence import Missing
from tuneloop_operator.decide.model_deployment.gates.gate_spec import Metric
from tuneloop_operator.decide.model_deployment.gates.latency import EDGES, RatioHistogram, median_ratio
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums
from tuneloop_operator.decide.model_deployment.gates.proportions import Share, against_bound
from tuneloop_operator.decide.model_deployment.gates.quality import quality_loss
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.comparison import ComparisonCounts, LabelledCounts, PairCounts
    from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Levels
    from tuneloop_operator.decide.model_deployment.gates.gate_spec import GateSpec


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was counted for one gate since the step began."""

    sample: int
    """Requests, pairs or rows."""
    waits_for: str = ""
    """What is not there yet, in words, where the sample does not say it."""
    evidence_at: Callable[[Levels], Evidence | Missing]


_EXACT = 1.0
"""The similarity of texts that are the same."""
_ROUNDING = 1e-9


def tally_of(gate: GateSpec, counts: ComparisonCounts) -> tuple[int, ...]:
    """Return the counts of live requests that a gate is about; they only grow. Empty for the golden set's gates, whose rows belong to no step."""
    live = counts.live
    match gate.metric:
        case Metric.ERRORS:
            return live.rows, live.both_failed, live.canary_failed, live.stable_failed, live.away
        case Metric.AGREEMENT if _is_of_similar_texts(gate, counts):
            return tuple(live.similarity)
        case Metric.AGREEMENT:
            return live.agree + live.disagree, live.disagree
        case Metric.LATENCY:
            return tuple(live.latency_ratios) or (0,) * (len(EDGES) + 1)
    return ()


def observed(gate: GateSpec, counts: ComparisonCounts, *, since: tuple[int, ...] = ()) -> Observation | Missing:
    """Return what a gate sees of the counts. since: its tally when the step began; empty for zero."""
    tally = tally_of(gate, counts)
    new = tuple(now - before for now, before in zip(tally, since, strict=True)) if since else tally
    match gate.metric:
        case Metric.ERRORS:
            return _errors(*new)
        case Metric.AGREEMENT if _is_of_similar_texts(gate, counts):
            return _similarity(new, agree_from=gate.similarity)
        case Metric.AGREEMENT:
            return _agreement(*new)
        case Metric.LATENCY:
            return _latency(new)
    return _golden(gate.metric, counts)


def _errors(rows: int, both: int, canary: int, stable: int, away: int) -> Observation | Missing:
    """Whatever is no answer, on the same requests. Those that both refuse, and those that found no room or nobody, are not among the rows."""
    if away > rows:
        reason = f"a revision was not there for {away} of {rows + away} requests (no connection, or it still loads its model)"
        return Missing(verdict=Verdict.NO_DATA, reason=reason)
    return _of_paired("errors", PairedCounts(rows=rows, both_wrong=both, canary_only=canary, stable_only=stable))


def _agreement(rows: int, disagree: int) -> Observation | Missing:
    share = Share(events=disagree, trials=rows)
    if not share.makes_sense:
        return _senseless(f"{disagree} disagreements of {rows} requests")
    return Observation(sample=rows, evidence_at=functools.partial(_bounded, share))


def _is_of_similar_texts(gate: GateSpec, counts: ComparisonCounts) -> bool:
    """Tell whether texts need not be the same to agree. Models of classes have no similarity: their answers are equal, or not."""
    return gate.similarity < _EXACT and bool(counts.live.similarity)


def _similarity(pairs: tuple[int, ...], *, agree_from: float) -> Observation | Missing:
    """A bin holds its lower edge, so a threshold between two edges is taken for the upper one."""
    if len(pairs) != SIMILARITY_STEPS + 1 or min(pairs) < 0:
        return _senseless(f"{len(pairs)} counts of similarities, expected {SIMILARITY_STEPS + 1} from 0 on")
    place = math.ceil(agree_from * SIMILARITY_STEPS - _ROUNDING)
    return _agreement(sum(pairs), sum(pairs[:place]))


def _latency(ratios: tuple[int, ...]) -> Observation | Missing:
    histogram = RatioHistogram(counts=ratios)
    if len(ratios) != len(EDGES) + 1 or min(ratios) < 0:
        return _senseless(f"{len(ratios)} counts of time ratios, expected {len(EDGES) + 1} from 0 on")
    return Observation(sample=histogram.pairs, evidence_at=lambda levels: median_ratio(histogram, levels=levels))


def _golden(metric: Metric, counts: ComparisonCounts) -> Observation | Missing:
    """Of the last complete replay: each row once."""
    golden = counts.golden
    if golden is None:
        return Missing(verdict=Verdict.NO_DATA, reason="the comparator has no golden set")
    if golden.problem is not None:
        return Missing(verdict=Verdict.ERROR, reason=f"the golden set is not used: {golden.problem}")
    if golden.last_labelled is None or golden.last_pairs is None:
        if golden.failure is not None:
            return Missing(
                verdict=Verdict.NO_DATA, reason=f"the replay of the golden set ended early: {golden.failure}"
            )
        done = f"{golden.rows_done} of {golden.rows} golden rows are replayed"
        nothing = Missing(verdict=Verdict.NO_DATA, reason=done)
        return Observation(sample=0, waits_for=done, evidence_at=lambda _: nothing)
    return _of_replay(metric, golden.last_labelled, golden.last_pairs, task=counts.task)


def _of_replay(metric: Metric, labelled: LabelledCounts, pairs: PairCounts, *, task: str) -> Observation | Missing:
    match metric:
        case Metric.CALIBRATION:
            return _calibration(labelled)
        case Metric.GENERATION_QUALITY:
            return _generation_quality(labelled, pairs, task=task)
    return _golden_accuracy(labelled, pairs)


def _golden_accuracy(labelled: LabelledCounts, pairs: PairCounts) -> Observation | Missing:
    if labelled.rows == 0 and pairs.rows > 0:
        return Missing(
            verdict=Verdict.ERROR,
            reason='no row of the golden set has a label; example of one: {"inputs": "A fine film.", "label": "positive"}',
        )
    paired = PairedCounts(
        rows=labelled.rows,
        both_wrong=labelled.both_wrong,
        canary_only=labelled.canary_only,
        stable_only=labelled.stable_only,
    )
    if paired.rows == 0:
        return Missing(verdict=Verdict.NO_DATA, reason="no golden row was evidence: no revision had room for them")
    return _of_paired("wrong answers", paired)


def _calibration(labelled: LabelledCounts) -> Observation:
    sums = PairedSums.counted(labelled.gaps)
    # a set with too few rows must end as NoData, not wait: it will not grow
    return Observation(sample=max(sums.rows, 1), evidence_at=lambda levels: calibration_loss(sums, levels=levels))


def _generation_quality(labelled: LabelledCounts, pairs: PairCounts, *, task: str) -> Observation | Missing:
    sums = PairedSums.counted(labelled.similarity)
    if sums.rows == 0 and labelled.rows > 0:
        reason = f"a model of {task} generates no text; for example metric: GoldenAccuracy"
        return Missing(verdict=Verdict.ERROR, reason=reason)
    if sums.rows == 0 and pairs.rows > 0:
        reason = 'no row of the golden set has a label; example of one: {"inputs": "Who was Ada?", "label": "A mathematician."}'
        return Missing(verdict=Verdict.ERROR, reason=reason)
    # as of calibration: the set will not grow
    return Observation(sample=max(sums.rows, 1), evidence_at=lambda levels: quality_loss(sums, levels=levels))


def _of_paired(noun: str, paired: PairedCounts) -> Observation | Missing:
    if not paired.makes_sense:
        return _senseless(f"more {noun} than {paired.rows} rows, or fewer than 0")
    return Observation(sample=paired.rows, evidence_at=lambda levels: paired_difference(noun, paired, levels=levels))


def _bounded(share: Share, levels: Levels) -> Evidence | Missing:
    return against_bound("disagreements", canary=share, levels=levels)


def _senseless(what: str) -> Missing:
    return Missing(verdict=Verdict.ERROR, reason=f"the comparator's counts make no sense: {what}")
