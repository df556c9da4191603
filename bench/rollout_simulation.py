"""Roll-outs in which the counts are drawn and the operator's own gates decide. Part of `rollout_gates.py`."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_operator.decide.model_deployment.gates import latency, paired, proportions
from tuneloop_operator.decide.model_deployment.gates.calibration import calibration_loss
from tuneloop_operator.decide.model_deployment.gates.judge import judged
from tuneloop_operator.decide.model_deployment.gates.limits import Limits, outcome_of
from tuneloop_operator.decide.model_deployment.gates.looks import Look, planned_looks, single_look
from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERDICTS = (None, *Verdict)
GOLDEN = frozenset({"accuracy", "calibration"})
"""These gates have one look, when the first step begins."""
ACTIONS = (GateAction.ADVANCE, GateAction.ROLL_BACK, GateAction.GIVE_UP)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A roll-out with its gates: the defaults that the tables are about."""

    weights: tuple[float, ...] = (0.05, 0.25, 0.5)
    """Of the steps that gates test; the last step of a roll-out, 1, has no stable to compare with."""
    requests: int = 1000
    """`minRequests` of each step: what the canary answers, and copies that the comparator asks both revisions."""
    copied: float = 0.1
    """Share of requests that are copied: `shadow.percent`."""
    rows: int = 1000
    """Golden rows."""
    alpha: float = 0.05
    ends: int = 3
    """`inconclusiveLimit`."""
    errors: float | None = 0.01
    """Margins; None: no such gate."""
    agreement: float | None = None
    latency: float | None = 0.1
    accuracy: float | None = 0.03
    calibration: float | None = 0.05
    base_errors: float = 0.003
    noise: float = 0.3
    """Standard deviation of log(canary time / stable time) on the same request."""
    discordant: float = 0.1
    """Share of golden rows on which exactly one of two equal models is wrong."""

    @property
    def gates(self) -> tuple[str, ...]:
        names = ("errors", "agreement", "latency", "accuracy", "calibration")
        return tuple(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True, kw_only=True)
class Change:
    """How the canary differs."""

    name: str
    errors: float = 0.0
    """Further errors, as a share of requests."""
    flips: float = 0.0
    """Share of requests for which the canary chooses another class."""
    wrong: float = 0.0
    """Further wrong answers on golden rows, as a share."""
    slower: float = 0.0
    """Median time ratio − 1."""
    sharpened: float = 1.0
    """Power by which confidence is raised: below 1 is overconfident."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of each roll-out, R of them."""

    action: np.ndarray
    """[R] index into ACTIONS; Advance means promoted."""
    failed: np.ndarray
    """[R] index of the gate that failed, −1 if none did."""
    requests: np.ndarray
    """[R, steps] requests of the canary, and as many copies."""

    def share(self, action: GateAction) -> Share:
        return Share(int((self.action == ACTIONS.index(action)).sum()), self.action.size)


@dataclass(frozen=True)
class Share:
    """Counted of many, with Wilson's 95 % interval."""

    counted: int
    of: int

    def interval(self) -> tuple[float, float]:
        z, p, n = 1.959964, self.counted / self.of, self.of
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.counted / self.of:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def simulate(
    settings: Settings, change: Change, rng: np.random.Generator, *, rollouts: int, plan: tuple[Look, ...] | None = None
) -> Outcomes:
    """Return what becomes of `rollouts` roll-outs. `plan` replaces the looks of the gates whose data grows."""
    plan = plan or planned_looks(
        [settings.requests] * len(settings.weights), alpha=settings.alpha, inconclusive_limit=settings.ends
    )
    action = np.full(rollouts, -1)
    failed = np.full(rollouts, -1)
    requests = np.zeros((rollouts, len(settings.weights)), dtype=np.int64)
    golden = golden_verdicts(settings, change, rng, rollouts)
    for step in range(1, len(settings.weights) + 1):
        at_work = np.flatnonzero(action == -1)
        looks = [look for look in plan if look.step == step]
        outcome, gate, asked = one_step(
            settings,
            change,
            rng,
            looks=looks,
            golden={name: codes[at_work] for name, codes in golden.items()},
        )
        requests[at_work, step - 1] = asked
        ended = (outcome != 0) | (step == len(settings.weights))
        action[at_work[ended]] = outcome[ended]
        failed[at_work] = gate
    return Outcomes(action=action, failed=failed, requests=requests)


def one_step(
    settings: Settings,
    change: Change,
    rng: np.random.Generator,
    *,
    looks: list[Look],
    golden: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each roll-out the index of its action, the gate that failed, and the canary's requests, at the look that settles the step."""
    count = len(next(iter(golden.values()))) if golden else 0
    names = settings.gates
    codes = np.zeros((count, len(looks), len(names)), dtype=np.int8)
    outcome, gate, asked = np.full(count, -1), np.full(count, -1), np.zeros(count, dtype=np.int64)
    drawn = {name: np.zeros((count, len(odds)), dtype=np.int64) for name, odds in chances(settings, change).items()}
    before = 0
    for place, look in enumerate(looks):
        for name, odds in chances(settings, change).items():
            drawn[name] += rng.multinomial(look.samples - before, [*odds, 1 - sum(odds)], count)[:, : len(odds)]
        before = look.samples
        active = outcome == -1
        if not active.any():
            break
        for column, name in enumerate(names):
            if name in GOLDEN:
                found = golden[name][active] if place == 0 else np.zeros(int(active.sum()), dtype=np.int8)
            else:
                found = verdicts(functools.partial(RESULTS[name], settings, look), *drawn[name][active].T)
            codes[active, place, column] = found
        actions, gates = actions_of(codes[active], looks, settings)
        outcome[active], gate[active], asked[active] = actions, gates, look.samples
    return outcome, gate, asked


def chances(settings: Settings, change: Change) -> dict[str, tuple[float, ...]]:
    """Return for each gate that sees copies the chances of what one copy counts for it."""
    stable, canary = settings.base_errors, min(settings.base_errors + change.errors, 1)
    every = {
        "errors": (canary * (1 - stable), stable * (1 - canary)),  # only the canary, only stable
        "agreement": (change.flips,),
        "latency": (pairs_within(settings, change),),
    }
    return {name: every[name] for name in settings.gates if name in every}


def pairs_within(settings: Settings, change: Change) -> float:
    """Return the chance that a pair's ratio is within the margin."""
    margin = settings.latency if settings.latency is not None else 0.0
    return NormalDist(math.log1p(change.slower), settings.noise).cdf(math.log1p(margin))


def verdicts(result_of: Callable[..., GateResult], *counts: np.ndarray) -> np.ndarray:
    """Return the verdict of each roll-out as an index into VERDICTS: the operator is asked once for each distinct set of counts."""
    distinct, place = np.unique(np.stack(counts, axis=1), axis=0, return_inverse=True)
    codes = np.array([VERDICTS.index(result_of(*map(int, row)).verdict) for row in distinct], dtype=np.int8)
    return codes[place.reshape(-1)]


def error_result(settings: Settings, look: Look, canary_only: int, stable_only: int) -> GateResult:
    counts = paired.PairedCounts(rows=look.samples, both_wrong=0, canary_only=canary_only, stable_only=stable_only)
    evidence = paired.paired_difference("errors", counts, levels=look.levels)
    return judged("errors", evidence, margin=settings.errors, look=look)


def agreement_result(settings: Settings, look: Look, flips: int) -> GateResult:
    share = proportions.Share(events=flips, trials=look.samples)
    evidence = proportions.against_bound("disagreements", canary=share, levels=look.levels)
    return judged("agreement", evidence, margin=settings.agreement, look=look)


def latency_result(settings: Settings, look: Look, within: int) -> GateResult:
    """The margin is an edge of the histogram, so the verdict is that of a histogram with all pairs next to it."""
    counts = [0] * (len(latency.EDGES) + 1)
    edge = latency.EDGES.index(settings.latency)
    counts[edge], counts[edge + 1] = within, look.samples - within
    evidence = latency.median_ratio(latency.RatioHistogram(counts=tuple(counts)), levels=look.levels)
    return judged("latency", evidence, margin=settings.latency, look=look)


RESULTS: dict[str, Callable[..., GateResult]] = {
    "errors": error_result,
    "agreement": agreement_result,
    "latency": latency_result,
}


def golden_verdicts(
    settings: Settings, change: Change, rng: np.random.Generator, rollouts: int
) -> dict[str, np.ndarray]:
    """Return the verdicts of the golden gates, [R] each: one look, at all of alpha. Without such gates one empty entry says how many roll-outs there are."""
    (look,) = single_look(settings.rows, alpha=settings.alpha)
    if settings.accuracy is None and settings.calibration is None:
        return {"": np.zeros(rollouts, dtype=np.int8)}
    stable_only = settings.discordant / 2
    if settings.calibration is None:
        tables = rng.multinomial(
            settings.rows, [stable_only + change.wrong, stable_only, 1 - 2 * stable_only - change.wrong], rollouts
        )
        return {"accuracy": verdicts(functools.partial(accuracy_result, settings, look), tables[:, 0], tables[:, 1])}
    found = {"accuracy": np.zeros(rollouts, dtype=np.int8), "calibration": np.zeros(rollouts, dtype=np.int8)}
    for start in range(0, rollouts, 1000):
        part = slice(start, min(start + 1000, rollouts))
        canary_only, both, sums = golden_rows(settings, change, rng, part.stop - part.start)
        found["accuracy"][part] = verdicts(functools.partial(accuracy_result, settings, look), canary_only, both)
        found["calibration"][part] = [
            VERDICTS.index(
                judged(
                    "calibration",
                    calibration_loss(gap_sums, levels=look.levels),
                    margin=settings.calibration,
                    look=look,
                ).verdict
            )
            for gap_sums in sums
        ]
    return {name: codes for name, codes in found.items() if name in settings.gates}


def accuracy_result(settings: Settings, look: Look, canary_only: int, stable_only: int) -> GateResult:
    counts = paired.PairedCounts(rows=settings.rows, both_wrong=0, canary_only=canary_only, stable_only=stable_only)
    return judged(
        "accuracy",
        paired.paired_difference("wrong answers", counts, levels=look.levels),
        margin=settings.accuracy,
        look=look,
    )


def golden_rows(
    settings: Settings, change: Change, rng: np.random.Generator, rollouts: int
) -> tuple[np.ndarray, np.ndarray, Iterator[PairedSums]]:
    """Return rows on which only the canary, only stable is wrong, [R] each, and the sums of the gaps.

    Confidence ~ Beta(9, 1), 0.9 on average, and stable is right as often as it says: it is calibrated. The canary turns right answers wrong, and wrong
    ones right, so that the discordant share is as set.
    """
    shape = (rollouts, settings.rows)
    confidence = rng.random(shape, dtype=np.float32) ** np.float32(1 / 9)
    stable_right = rng.random(shape, dtype=np.float32) < confidence
    turns = rng.random(shape, dtype=np.float32)
    to_wrong, to_right = (settings.discordant / 2 + change.wrong) / 0.9, settings.discordant / 2 / 0.1
    canary_right = np.where(stable_right, turns >= to_wrong, turns < to_right)
    canary = (confidence**change.sharpened - canary_right).astype(np.float64)
    stable = (confidence - stable_right).astype(np.float64)
    sums = np.stack(
        [canary.sum(1), stable.sum(1), (canary * canary).sum(1), (stable * stable).sum(1), (canary * stable).sum(1)],
        axis=1,
    )
    gaps = (
        PairedSums(
            rows=settings.rows,
            canary=float(c),
            stable=float(s),
            canary_squared=float(cc),
            stable_squared=float(ss),
            product=float(cs),
        )
        for c, s, cc, ss, cs in sums
    )
    return (stable_right & ~canary_right).sum(1), (~stable_right & canary_right).sum(1), gaps


def actions_of(codes: np.ndarray, looks: list[Look], settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return of each history of verdicts [R, looks, gates] the index of the action (−1: hold) and the gate that failed: the operator's own fold."""
    distinct, place = np.unique(codes.reshape(len(codes), -1), axis=0, return_inverse=True)
    limits = {name: Limits(inconclusive=1 if name in GOLDEN else settings.ends) for name in settings.gates}
    actions, gates = [], []
    for history in distinct.reshape(-1, len(looks), len(settings.gates)):
        outcome = outcome_of(results_of(history, looks, settings), limits)
        actions.append(ACTIONS.index(outcome.action) if outcome.action is not GateAction.HOLD else -1)
        failing = np.flatnonzero((history == VERDICTS.index(Verdict.FAIL)).any(axis=0))
        gates.append(int(failing[0]) if failing.size else -1)
    return np.array(actions)[place.reshape(-1)], np.array(gates)[place.reshape(-1)]


def results_of(history: np.ndarray, looks: list[Look], settings: Settings) -> Iterator[GateResult]:
    for look, row in zip(looks, history, strict=True):
        for name, code in zip(settings.gates, row, strict=True):
            if code:
                settles = look.at_step_end or name in GOLDEN
                yield GateResult(
                    gate=name, verdict=VERDICTS[code], margin=0.0, look=look.number, at_step_end=settles, reason=""
                )
