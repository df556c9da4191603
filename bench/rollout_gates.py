"""Simulated roll-outs: how often the gates promote an equal model and reject a worse one, and what that costs in requests and hours.

    PYTHONPATH=api:operator python bench/rollout_gates.py [--rollouts 10000] [--seed 20261129] [--write docs/results.md]

The counts are drawn; every verdict and every action is the operator's own code (`decide/model_deployment/gates`), called once for each distinct set of
counts. Each table has its own generator, seeded with (seed, name), so a table can be repeated alone.
"""

from __future__ import annotations

import argparse
import math
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import rollout_gate_intervals
from baking_simulation import bakings, watched_hours
from generation_simulation import SHAPES, replays
from rollout_simulation import Change, Outcomes, Settings, Share, simulate

from tuneloop_operator.decide.model_deployment.gates.evidence import Levels
from tuneloop_operator.decide.model_deployment.gates.looks import Look, planned_looks
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = "<!-- bench/rollout_gates.py writes from here to the end of the page -->"
WHOLE = """The defaults: steps of 5, 25 and 50 %, `minRequests` 1,000, 10 % copies, 1,000 golden rows; margins: errors 1 point, latency 10 %, wrong
answers 3 points, calibration 5 points; alpha 0.05 a gate, `inconclusiveLimit` 3. Stable has 0.3 % errors and 10 % wrong answers; the log ratio of times
scatters by 0.3; on 10 % of the golden rows exactly one of two equal models is wrong. In brackets: 95 % intervals (Wilson) of the simulation."""
MARGINS = """The same defaults, one gate at a time. Where a canary is worse by exactly the margin or by more, at most 5 % may be promoted; where it is worse by
the margin or less, at most 5 % may be rolled back."""
ROWS = """The gate of wrong answers alone, margin 3 points; columns: more wrong answers, points. Promoted / rolled back, %."""
HOURS = """Whole roll-outs with the default margins, `minDuration` 10 minutes a step. Median and 95th percentile, until promotion or rejection. A step needs `minRequests`
answers of the canary and as many copies: at 50 % the copies, 10 % of the requests, come last."""
QUERIES = """A gate with `compare: Stable` on the errors of canary and stable in windows of a minute, both 0.3 %, margin 1 point, 2 requests a second at each revision, watched for an
hour. A burst is 30 s with 30 % errors of the canary. Minutes: until the roll-back, median."""
LABELS = """A gate on `FeedbackAccuracy`: 8 days of labels for both revisions, the one before is right in 9 of 10, alpha 0.05 for all days together. Taken back, %; in brackets
the median day of it. The rest stays promoted."""
GENERATED = """A gate on `GenerationQuality`, margin 3 points, one look with alpha 0.05; columns: similarity to the references that the canary lacks, points. Promoted / rolled back, %; the rest gave
up. Similarities of two equal models differ on a row by 0.24 (standard deviation). In the last shape the canary gives stable's answers but for those that it loses."""
LOOKS = """The error gate alone, margin 1 point. A gate that takes all of alpha at every look breaks its promise where the canary is worse by exactly the margin."""
INTERVALS = """How often the verdict is wrong where harm is exactly the margin, as a multiple of the level: false Fail, false Pass. Above 1 the method breaks
its promise. Summed over all counts, not simulated."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How many roll-outs, and the seed of everything."""

    rollouts: int
    seed: int

    def run(self, name: str, settings: Settings, change: Change, *, plan: tuple[Look, ...] | None = None) -> Outcomes:
        return simulate(settings, change, self.generator(name), rollouts=self.rollouts, plan=plan)

    def generator(self, name: str) -> np.random.Generator:
        """Return the generator of a row."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


CHANGES = (
    Change(name="equal"),
    *(Change(name=f"errors + {points} %", errors=points / 100) for points in (1, 2, 5, 10)),
    *(Change(name=f"wrong answers + {points} %", wrong=points / 100) for points in (1, 2, 3, 5, 10)),
    *(Change(name=f"{1 + slower:g} × slower", slower=slower) for slower in (0.1, 0.25, 0.5, 2.0)),
    Change(name="confidence 5 points too low", sharpened=1.58),
    Change(name="confidence always near 1", sharpened=0.1),
)


def whole_rollouts(bench: Bench) -> Iterator[str]:
    settings = Settings()
    yield "| canary | promoted, % | rolled back (Fail), % | gave up (Inconclusive), % | rejected at the first step, % | failing gate |"
    yield "|---|---|---|---|---|---|"
    for change in CHANGES:
        found = bench.run(f"whole {change.name}", settings, change)
        first = Share(int(((found.action > 0) & (found.requests[:, 1] == 0)).sum()), bench.rollouts)
        yield (
            f"| {change.name} | {found.share(GateAction.ADVANCE)} | {found.share(GateAction.ROLL_BACK)} | {found.share(GateAction.GIVE_UP)} "
            f"| {100 * first.counted / first.of:.1f} | {blame(found, settings)} |"
        )


def blame(found: Outcomes, settings: Settings) -> str:
    counts = [(name, int((found.failed == place).sum())) for place, name in enumerate(settings.gates)]
    return ", ".join(f"{name} {100 * count / found.failed.size:.1f}" for name, count in counts if count) or "none"


def against_margins(bench: Bench) -> Iterator[str]:
    alone = Settings(errors=None, agreement=None, latency=None, accuracy=None, calibration=None)
    points, ratios = (0.0, 0.01, 0.02, 0.05, 0.1), (0.0, 0.1, 0.25, 0.5, 1.0)
    families = (
        ("errors", "more errors, points", points, (0.005, 0.01, 0.02, 0.05), lambda by: Change(name="", errors=by)),
        (
            "accuracy",
            "more wrong answers, points",
            points,
            (0.01, 0.02, 0.03, 0.05),
            lambda by: Change(name="", wrong=by),
        ),
        (
            "agreement",
            "requests with another class, points",
            points,
            (0.01, 0.02, 0.05, 0.1),
            lambda by: Change(name="", flips=by),
        ),
        ("latency", "slower by, %", ratios, (0.05, 0.1, 0.2, 0.5), lambda by: Change(name="", slower=by)),
    )
    for gate, noun, sizes, margins, change in families:
        yield f"Gate `{gate}` alone; columns: {noun}. Promoted / rolled back, %; the rest gave up.\n"
        yield "| margin | " + " | ".join(f"{100 * by:g}" for by in sizes) + " |"
        yield "|---" * (len(sizes) + 1) + "|"
        for margin in margins:
            found = [bench.run(f"{gate} {margin} {by}", replace(alone, **{gate: margin}), change(by)) for by in sizes]
            cells = [
                f"{percent_of(outcomes, GateAction.ADVANCE)} / {percent_of(outcomes, GateAction.ROLL_BACK)}"
                for outcomes in found
            ]
            yield f"| {100 * margin:g} | " + " | ".join(cells) + " |"
        yield ""


def percent_of(found: Outcomes, action: GateAction) -> str:
    share = found.share(action)
    return f"{100 * share.counted / share.of:.1f}"


def golden_set_sizes(bench: Bench) -> Iterator[str]:
    sizes = (0.0, 0.01, 0.03, 0.05, 0.1)
    alone = Settings(errors=None, latency=None, calibration=None)
    yield "| golden rows | " + " | ".join(f"{100 * by:g}" for by in sizes) + " |"
    yield "|---" * (len(sizes) + 1) + "|"
    for rows in (500, 1000, 2000, 5000):
        found = [bench.run(f"rows {rows} {by}", replace(alone, rows=rows), Change(name="", wrong=by)) for by in sizes]
        yield (
            f"| {rows:,} | "
            + " | ".join(
                f"{percent_of(outcomes, GateAction.ADVANCE)} / {percent_of(outcomes, GateAction.ROLL_BACK)}"
                for outcomes in found
            )
            + " |"
        )


def requests_and_hours(bench: Bench) -> Iterator[str]:
    yield "| canary | `minRequests` | requests to the canary, median and 95th percentile | all requests meanwhile | hours at 1 | at 10 | at 100 requests/s |"
    yield "|---|---|---|---|---|---|---|"
    shown = ("equal", "errors + 2 %", "errors + 5 %", "errors + 10 %", "wrong answers + 10 %", "1.5 × slower")
    for change in (change for change in CHANGES if change.name in shown):
        for requests in (500, 1000, 2000):
            settings = Settings(requests=requests)
            found = bench.run(f"hours {requests} {change.name}", settings, change)
            mine, total = found.requests.sum(axis=1), all_requests(found.requests, settings).sum(axis=1)
            hours = (f"{spread(duration(found.requests, settings, rate))}" for rate in (1, 10, 100))
            yield (
                f"| {change.name} | {requests} | {spread(mine, digits=0)} | {spread(total, digits=0)} | "
                + " | ".join(hours)
                + " |"
            )


def all_requests(requests: np.ndarray, settings: Settings) -> np.ndarray:
    """Return [R, steps] requests of clients until the canary has answered so many, and so many were copied."""
    return requests / np.minimum(np.array(settings.weights), settings.copied)


def duration(requests: np.ndarray, settings: Settings, rate: float) -> np.ndarray:
    """Return hours [R]: a step that advances takes `minDuration` (10 minutes) at least; one that fails ends at once."""
    seconds = all_requests(requests, settings) / rate
    following = np.concatenate([requests[:, 1:] > 0, np.zeros((len(requests), 1), dtype=bool)], axis=1)
    return np.where(following, np.maximum(seconds, 600), seconds).sum(axis=1) / 3600


def spread(values: np.ndarray, *, digits: int = 1) -> str:
    middle, late = np.percentile(values, [50, 95])
    return f"{middle:,.{digits}f}, {late:,.{digits}f}"


def gates_with_a_query(bench: Bench) -> Iterator[str]:
    yield "| canary | rolled back within the hour, % | minutes | within the margin after 10 minutes, % |"
    yield "|---|---|---|---|"
    for name, errors, bursts in (
        ("equal", 0.0, 0),
        ("equal, a burst an hour", 0.0, 1),
        *((f"errors + {100 * by:g} %", by, 0) for by in (0.01, 0.02, 0.05, 0.1)),
    ):
        found = watched_hours(bench.generator(f"query {name}"), hours=bench.rollouts, errors=errors, bursts=bursts)
        minutes = f"{np.median(found.minute[found.minute > 0]):.0f}" if (found.minute > 0).any() else "–"
        passes = Share(int(found.passes.sum()), bench.rollouts)
        yield f"| {name} | {Share(int((found.minute > 0).sum()), bench.rollouts)} | {minutes} | {passes} |"


def late_labels(bench: Bench) -> Iterator[str]:
    sizes = (0.0, 0.01, 0.02, 0.05, 0.1)
    yield "| margin, points | labels a day | " + " | ".join(f"{100 * by:g} points worse" for by in sizes) + " |"
    yield "|---" * (len(sizes) + 2) + "|"
    for margin in (0.01, 0.02, 0.05):
        for labels in (100, 1000, 5000):
            found = [
                bakings(
                    bench.generator(f"labels {margin} {labels} {by}"),
                    count=bench.rollouts,
                    labels=labels,
                    margin=margin,
                    worse=by,
                )
                for by in sizes
            ]
            cells = [
                f"{100 * (day > 0).mean():.1f}" + (f" ({np.median(day[day > 0]):.0f})" if day.any() else "")
                for day in found
            ]
            yield f"| {100 * margin:g} | {labels:,} | " + " | ".join(cells) + " |"


def generated_answers(bench: Bench) -> Iterator[str]:
    sizes = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)
    yield "| golden rows | what is worse | " + " | ".join(f"{100 * by:g}" for by in sizes) + " |"
    yield "|---" * (len(sizes) + 2) + "|"
    for rows in (100, 250, 500, 1000):
        for shape in SHAPES:
            cells = []
            for by in sizes:
                rng = bench.generator(f"generated {rows} {shape} {by}")
                passed, failed = replays(rng, shape=shape, rows=rows, worse=by, count=bench.rollouts)
                cells.append(f"{100 * passed:.1f} / {100 * failed:.1f}")
            yield f"| {rows:,} | {shape} | " + " | ".join(cells) + " |"


def ways_to_share(bench: Bench) -> Iterator[str]:
    settings = Settings(latency=None, accuracy=None, calibration=None)
    plan = planned_looks([settings.requests] * 3, alpha=settings.alpha, inconclusive_limit=settings.ends)
    yield "| alpha of a look | worse by exactly the margin: Fail, promoted, % | equal: promoted, % | canary requests of an equal model, mean | 3 points worse: Fail, %; canary requests, mean | 5 points worse: the same |"
    yield "|---|---|---|---|---|---|"
    for name, looks in (
        ("alpha at every look", unshared(plan, settings)),
        ("equal shares (chosen)", plan),
        ("O'Brien–Fleming-like increments", spent(plan, settings)),
    ):
        found = {
            by: bench.run(f"looks {by}", settings, Change(name="", errors=by), plan=looks)
            for by in (0.0, 0.01, 0.03, 0.05)
        }
        cost = {by: f"{outcomes.requests.sum(axis=1).mean():,.0f}" for by, outcomes in found.items()}
        yield (
            f"| {name} | {found[0.01].share(GateAction.ROLL_BACK)}, {found[0.01].share(GateAction.ADVANCE)} | {found[0.0].share(GateAction.ADVANCE)} | {cost[0.0]} "
            f"| {percent_of(found[0.03], GateAction.ROLL_BACK)}; {cost[0.03]} | {percent_of(found[0.05], GateAction.ROLL_BACK)}; {cost[0.05]} |"
        )


def unshared(plan: tuple[Look, ...], settings: Settings) -> tuple[Look, ...]:
    return tuple(replace(look, levels=Levels(fail=settings.alpha, promote=settings.alpha)) for look in plan)


def spent(plan: tuple[Look, ...], settings: Settings) -> tuple[Look, ...]:
    """Return the plan with alpha shared by the increments of Lan and DeMets' O'Brien–Fleming-like function of the share of data, one-sided."""
    normal = NormalDist()

    def spending(part: float) -> float:
        return 2 - 2 * normal.cdf(normal.inv_cdf(1 - settings.alpha / 2) / math.sqrt(part))

    whole = settings.ends * len(settings.weights)
    found, before = [], 0.0
    for look in plan:
        part = (settings.ends * (look.step - 1) + look.samples / settings.requests) / whole
        within = look.samples / settings.requests / settings.ends
        earlier = within - 1 / settings.ends
        promote = (
            spending(within) - (spending(earlier) if earlier > 1e-9 else 0.0) if look.at_step_end else settings.alpha
        )
        found.append(replace(look, levels=Levels(fail=max(spending(part) - before, 1e-12), promote=promote)))
        before = spending(part)
    return tuple(found)


# The page


TABLES: tuple[tuple[str, str, Callable[[Bench], Iterator[str]]], ...] = (
    ("Whole roll-outs", WHOLE, whole_rollouts),
    ("Against the margins", MARGINS, against_margins),
    ("Size of the golden set", ROWS, golden_set_sizes),
    ("Requests and hours", HOURS, requests_and_hours),
    ("Gates with a query", QUERIES, gates_with_a_query),
    ("Late labels", LABELS, late_labels),
    ("Generated answers", GENERATED, generated_answers),
    ("How looks share alpha", LOOKS, ways_to_share),
    ("Which interval", INTERVALS, lambda _: rollout_gate_intervals.tables()),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rollouts", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=20261129)
    options.add_argument("--write", type=Path, metavar="PAGE", help=f"replace what follows {MARK!r} in this page")
    given = options.parse_args()
    bench = Bench(rollouts=given.rollouts, seed=given.seed)
    began, parts = time.monotonic(), []
    for title, text, table in TABLES:
        parts.append(f"### {title}\n{text}\n\n" + "\n".join(table(bench)).strip() + "\n")
        print(parts[-1], flush=True)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    if given.write:
        head = given.write.read_text().partition(MARK)[0]
        given.write.write_text(
            f"{head}{MARK}\n{given.rollouts:,} roll-outs for each figure, seed {given.seed}.\n\n" + "\n".join(parts)
        )


if __name__ == "__main__":
    main()
