"""Triggers of a retraining on simulated days: false alarms against the setting, and days until a change is found.

Users come with several requests each, which are alike; hours have a cycle; the baseline is the first day. The operator's own triggers look at the
counts. Of what Prometheus computes, PSI and its limit are computed here by the same formula (tests/component/cli/test_backtest.py holds both together).

    python bench/trigger_simulation.py --streams /tmp/streams.npz     # and the streams for trigger_peers.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist

import numpy as np

from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import MOST_FEATURES, Trigger
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import judged
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import FEATURE_INFLATION, deviations
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.prometheus.answer import Number, Unanswered

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
DAY = 86400.0
FEATURES, BINS = 8, 10
A_USER = 5
"""Requests of a user in a day, on average; geometric."""
ALIKE = 0.3
"""Part of a feature's variance that lies between users."""
CYCLE = 0.3
"""How far a feature moves in the course of a day, in standard deviations."""
USERS_DIFFER = 0.1
"""Part of the variance of right answers that lies between users."""
KEPT_DAYS = 8
EDGES = np.array([NormalDist(0, (1 + CYCLE**2 / 2) ** 0.5).inv_cdf(part / BINS) for part in range(1, BINS)])
NOTHING = Unanswered(verdict="NoData", reason="the query has an empty result")


@dataclass(frozen=True)
class Walk:
    """What a trigger said on the days of one deployment."""

    fired: list[int]
    """Days on which it began to fire."""
    first: int | None
    """Day on which it first fired; None: it did not."""


def trigger(type_: str, **fields: object) -> Trigger:
    return Trigger.from_wire({"name": "watch", "type": type_} | fields)


def walk(spec: Trigger, answers: Sequence[Mapping[str, float] | None], *, step: float = DAY) -> Walk:
    """Return what the trigger says, one look a step. answers: by part; None: no data."""
    about = About(namespace="team", deployment="reviews", revision="7d1f0b2c", cutoff=BEGIN)
    memory, fired, was_firing = None, [], False
    parts = next((answer for answer in answers if answer is not None), {"ratio": 0.0})
    for number, answer in enumerate(answers):
        now = BEGIN + timedelta(seconds=number * step)
        found = {
            part: Reading(answer=NOTHING if answer is None else Number(value=answer[part], at=now.timestamp()), at=now)
            for part in parts
        }
        result = judged(spec, memory, found, about, now=now)
        memory, is_firing = result.memory, bool(result.memory.fired_key)
        if result.verdict.state is TriggerState.FIRING and not was_firing:
            fired.append(number)
        was_firing = is_firing
    return Walk(fired=fired, first=fired[0] if fired else None)


def requests(rng: np.random.Generator, *, count: int, shift: float = 0.0, alike: float = ALIKE) -> np.ndarray:
    """Return the features of a day's requests, float [N, FEATURES], N about count. shift: of the first feature, in standard deviations; alike: as ALIKE."""
    users = rng.geometric(1 / A_USER, max(1, count // A_USER))
    of_user = np.repeat(rng.normal(size=(users.size, FEATURES)), users, axis=0)
    hour = rng.vonmises(0.0, 1.0, users.sum())[:, None]
    found: np.ndarray = (
        alike**0.5 * of_user + (1 - alike) ** 0.5 * rng.normal(size=of_user.shape) + CYCLE * np.sin(hour)
    )
    found[:, 0] += shift
    return found


def binned(values: np.ndarray) -> np.ndarray:
    """Return the counts of the bins, [FEATURES, BINS]."""
    return np.stack([np.bincount(np.searchsorted(EDGES, column), minlength=BINS) for column in values.T])


def ratio(now: np.ndarray, baseline: np.ndarray, *, days: int, threshold: float = 0.2) -> dict[str, float]:
    """Return what the query of the trigger on drift returns."""
    p, q = ((counts + 0.5) / (counts.sum(1, keepdims=True) + 0.5 * BINS) for counts in (baseline, now))
    index = ((q - p) * np.log(q / p)).sum(1)
    df, z = BINS - 1, deviations(days, tests=MOST_FEATURES)
    quantile = df * (1 - 2 / (9 * df) + z * (2 / (9 * df)) ** 0.5) ** 3
    critical = quantile * FEATURE_INFLATION * (1 / baseline.sum(1) + 1 / now.sum(1))
    return {"ratio": float((index / np.maximum(critical, threshold)).max())}


def drifting(
    rng: np.random.Generator, *, count: int, days: int, shifts: Mapping[int, float] | float = 0.0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the counts of the baseline and of each day. shifts: by day, or of all days."""
    of_day = shifts.get if isinstance(shifts, Mapping) else lambda _, __: shifts
    baseline = binned(requests(rng, count=count))
    return baseline, [binned(requests(rng, count=count, shift=of_day(day, 0.0))) for day in range(days)]


def labelled(rng: np.random.Generator, *, labels: int, accuracy: list[float]) -> list[dict[str, float]]:
    """Return right answers and labels of the last 8 days, for each day. labels: of a day, on average."""
    right, total = [], []
    strength = 1 / USERS_DIFFER - 1
    for share in accuracy:
        users = rng.geometric(1 / A_USER, max(1, labels // A_USER))
        right.append(rng.binomial(users, rng.beta(share * strength, (1 - share) * strength, users.size)).sum())
        total.append(users.sum())
    return [
        {
            "right": float(sum(right[max(0, day + 1 - KEPT_DAYS) : day + 1])),
            "labels": float(sum(total[max(0, day + 1 - KEPT_DAYS) : day + 1])),
        }
        for day in range(len(accuracy))
    ]


def false_alarms(rng: np.random.Generator, *, days: int, deployments: int) -> Iterator[str]:
    """Yield how often triggers fire on models that have not changed."""
    yield "| trigger | setting, days | alarms allowed | alarms |"
    yield "|---|---|---|---|"
    histories = [drifting(rng, count=2000, days=days) for _ in range(deployments)]
    thin = [drifting(rng, count=300, days=days) for _ in range(deployments)]
    at_limit = [labelled(rng, labels=300, accuracy=[0.9] * days) for _ in range(deployments)]
    above = [labelled(rng, labels=300, accuracy=[0.92] * days) for _ in range(deployments)]
    for setting in (10, 30, 365):
        allowed = days * deployments / setting
        for words, threshold, given in (
            ("drift, 2,000 requests a day", 0.2, histories),
            ("drift, 300 requests a day", 0.2, thin),
            ("drift, 2,000 requests a day, threshold 0.001", 0.001, histories),
            ("drift, 300 requests a day, threshold 0.001", 0.001, thin),
        ):
            spec = trigger("drift", expectedDaysBetweenFalseTriggers=setting, threshold=threshold)
            fired = sum(
                len(walk(spec, [ratio(day, base, days=setting, threshold=threshold) for day in later]).fired)
                for base, later in given
            )
            yield f"| {words} | {setting} | {allowed:.0f} | {fired} |"
        spec = trigger("accuracy", below=0.9, expectedDaysBetweenFalseTriggers=setting)
        for words, counts in (("at the limit", at_limit), ("two points above", above)):
            fired = sum(len(walk(spec, [*numbers]).fired) for numbers in counts)
            yield f"| accuracy, 300 labels a day, {words} | {setting} | {allowed:.0f} | {fired} |"


def found_after(walks: list[Walk], *, days: int) -> str:
    """Return how many fired, and the median day of those, counted from the change."""
    firsts = sorted(found.first for found in walks if found.first is not None)
    share = f"{len(firsts) / len(walks):.0%} in {days} days"
    return f"{share}, median day {firsts[len(firsts) // 2] + 1}" if firsts else share


def detection(rng: np.random.Generator, *, trials: int, days: int = 30) -> Iterator[str]:
    """Yield how soon changes are found. The change is on day 1."""
    yield "| change | few | many |"
    yield "|---|---|---|"
    spec = trigger("accuracy", below=0.9)
    for drop in (0.02, 0.05, 0.1):
        cells = []
        for labels in (100, 1000):
            walks = []
            for _ in range(trials):
                counts = labelled(rng, labels=labels, accuracy=[0.92] * KEPT_DAYS + [0.92 - drop] * days)
                walks.append(walk(spec, counts[KEPT_DAYS:]))
            cells.append(found_after(walks, days=days))
        yield f"| accuracy 92 % falls by {drop * 100:.0f} points; 100 and 1,000 labels a day; below 90 % | {' | '.join(cells)} |"
    for shift in (0.2, 0.5, 1.0):
        cells = []
        for count in (300, 2000):
            walks = []
            for _ in range(trials):
                base, later = drifting(rng, count=count, days=days, shifts=shift)
                walks.append(walk(trigger("drift"), [ratio(day, base, days=365) for day in later]))
            cells.append(found_after(walks, days=days))
        yield f"| one of 8 features moves by {shift:g} standard deviations; 300 and 2,000 requests a day | {' | '.join(cells)} |"


def never(rng: np.random.Generator, *, days: int) -> Iterator[str]:
    """Yield how often triggers fire on what is no reason to train."""
    yield "| traffic | looks | alarms |"
    yield "|---|---|---|"
    weekend = dict.fromkeys((day for day in range(days) if day % 7 >= 5), 1.0)
    bursts = dict.fromkeys((day for day in range(days) if day % 9 < 2), 3.0)
    classes: list[tuple[str, Trigger, Sequence[Mapping[str, float] | None], float]] = []
    for words, shifts in (("weekends are another day: 1 standard deviation", weekend), ("bursts of two days in nine: 3 standard deviations", bursts)):  # fmt: skip
        base, later = drifting(rng, count=2000, days=days, shifts=shifts)
        classes.append((words, trigger("drift"), [ratio(day, base, days=365) for day in later], DAY))
    dead = [None if number % 3 else {"ratio": 5.0} for number in range(days)]
    classes.append(("Prometheus is dead two days of three; drift each time it answers", trigger("drift"), dead, DAY))
    flapping: list[Mapping[str, float] | None] = [{"value": 20.0 * (second % 2)} for second in range(600)]
    query = trigger("promql", query="sum(a)", threshold=10)
    classes.append(("a query flaps at 1 Hz for 10 minutes", query, flapping, 1.0))
    half_hours: list[Mapping[str, float] | None] = [
        {"value": 20.0 * (number // 118 % 2)} for number in range(days * 48)
    ]
    classes.append(("a query is above its threshold for 59 minutes, then below for as long", query, half_hours, 30.0))
    few = labelled(rng, labels=10, accuracy=[0.5] * days)
    classes.append(("10 labels a day, half of them wrong", trigger("accuracy", below=0.9), [*few], DAY))
    for words, spec, answers, step in classes:
        yield f"| {words} | {len(answers)} | {len(walk(spec, answers, step=step).fired)} |"


def streams(rng: np.random.Generator, *, days: int, count: int) -> dict[str, np.ndarray]:
    """Return the same requests for other tools: float32 [days + 1, count, FEATURES], of which day 0 is the baseline."""
    found = {}
    for name, shift in (("unchanged", 0.0), ("0.2", 0.2), ("0.5", 0.5), ("1", 1.0)):
        days_of_requests = [
            requests(rng, count=2 * count, shift=shift if day else 0.0)[:count] for day in range(days + 1)
        ]
        found[name] = np.stack(days_of_requests).astype(np.float32)
    apart = np.random.default_rng(days)
    days_of_requests = [requests(apart, count=2 * count, alike=0.0)[:count] for _ in range(days + 1)]
    return found | {"independent": np.stack(days_of_requests).astype(np.float32)}


def of_streams(given: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield what the trigger on drift says of the streams for other tools."""
    for name, values in given.items():
        base, *later = map(binned, values)
        answers = [ratio(day, base, days=365) for day in later]
        beyond = sum(answer["ratio"] > 1 for answer in answers)
        found = walk(trigger("drift"), [*answers])
        yield f"| {name} | {len(later)} | {beyond} | {'-' if found.first is None else found.first + 1} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Triggers on simulated days.")
    parser.add_argument("--seed", type=int, default=65)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--deployments", type=int, default=10)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--streams", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    if given.streams:
        of_peers = streams(rng, days=200, count=1000)
        np.savez(given.streams, allow_pickle=False, **of_peers)
        print("\n".join(of_streams(of_peers)))
    for title, lines in (
        ("Never", never(rng, days=given.days)),
        ("False alarms", false_alarms(rng, days=given.days, deployments=given.deployments)),
        ("Detection", detection(rng, trials=given.trials)),
    ):
        print(f"\n## {title}", flush=True)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
