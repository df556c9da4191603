"""What a gate can decide, before the roll-out: the chance to pass an equal model and to fail a worse one, and the least sample that decides.

The chances are those of the gates' own tests, summed over outcomes; only calibration has a normal formula, as its gate has. Of two groups, stable's
count is taken at `_NODES` equally likely values, and the canary's exactly.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from tuneloop_api.statistics.binomial import tail_at_least
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.latency import limit_rank
from tuneloop_operator.decide.model_deployment.gates.paired import PairedCounts, paired_difference
from tuneloop_operator.decide.model_deployment.gates.proportions import Share, against_bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels

REQUIRED_POWER = 0.8
"""A gate that passes an equal model less often at the last end of a step cannot decide."""
_NODES = 5
_MOST_SAMPLES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Expected rates of `paired.paired_difference`."""

    discordant: float
    """Share of rows on which exactly one of two equal models is wrong."""

    def chances(self, sample: int, worse_by: float, *, margin: float, levels: Levels) -> Chances:
        """Return the chances with `sample` rows."""
        stable_only = self.discordant / 2
        canary_only = min(stable_only + worse_by, 1 - stable_only)

        def evidence(worse: int, events: int) -> Evidence | Missing:
            counts = PairedCounts(rows=sample, both_wrong=0, canary_only=worse, stable_only=events)
            return paired_difference("events", counts, levels=levels)

        per_node = [
            _chances_of_events(
                sample - events, canary_only / (1 - stable_only), functools.partial(_swapped, evidence, events), margin
            )
            for events in _equally_likely(sample, stable_only)
        ]
        return Chances.mean(per_node)


@dataclass(frozen=True, kw_only=True)
class Bounding:
    """Expected rate of `proportions.against_bound`."""

    base_rate: float

    def chances(self, sample: int, worse_by: float, *, margin: float, levels: Levels) -> Chances:
        """Return the chances with `sample` requests of the canary."""
        return _chances_of_events(
            sample,
            min(self.base_rate + worse_by, 1.0),
            lambda worse: against_bound("events", canary=Share(events=worse, trials=sample), levels=levels),
            margin,
        )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Expected noise of `latency.median_ratio`."""

    noise: float
    """Standard deviation of the logarithm of canary time / stable time, of equal models on the same request."""

    def chances(self, sample: int, worse_by: float, *, margin: float, levels: Levels) -> Chances:
        """Return the chances with `sample` pairs, for a margin on an edge of the histogram."""
        slower = 1 - NormalDist(math.log1p(worse_by), self.noise).cdf(math.log1p(margin))
        to_fail, to_pass = limit_rank(sample, levels.fail), limit_rank(sample, levels.promote)
        return Chances(
            to_pass=1 - tail_at_least(to_pass, sample, slower) if to_pass else 0.0,
            to_fail=1 - tail_at_least(to_fail, sample, 1 - slower) if to_fail else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """Expected noise of `calibration.calibration_loss`."""

    noise: float
    """Standard deviation of the difference of the two gaps of a row."""

    def chances(self, sample: int, worse_by: float, *, margin: float, levels: Levels) -> Chances:
        """Return the chances with `sample` golden rows, for an overconfident stable: by the normal formula, as the gate has it."""
        room = (margin - worse_by) * math.sqrt(sample) / self.noise
        normal = NormalDist()
        return Chances(
            to_pass=normal.cdf(room + normal.inv_cdf(levels.promote / 2)),
            to_fail=normal.cdf(-room + normal.inv_cdf(levels.fail / 2)),
        )


@dataclass(frozen=True, kw_only=True)
class Resembling:
    """Expected noise of `quality.quality_loss`."""

    noise: float
    """Standard deviation of the difference of the two similarities of a row."""

    def chances(self, sample: int, worse_by: float, *, margin: float, levels: Levels) -> Chances:
        """Return the chances with `sample` golden rows, by the normal formula, as the gate has it with its further row."""
        deviation = math.hypot(self.noise, 1 / math.sqrt(sample)) / math.sqrt(sample)
        normal, further = NormalDist(), 1 / sample
        return Chances(
            to_pass=normal.cdf((margin - worse_by - further) / deviation + normal.inv_cdf(levels.promote)),
            to_fail=normal.cdf((worse_by - margin - further) / deviation + normal.inv_cdf(levels.fail)),
        )


Expected = Pairing | Bounding | Timing | Calibrating | Resembling


@dataclass(frozen=True, kw_only=True)
class Chances:
    """Chances of the two verdicts that decide."""

    to_pass: float
    to_fail: float

    @classmethod
    def mean(cls, chances: list[Chances]) -> Chances:
        """Return the mean over equally likely cases."""
        return cls(
            to_pass=math.fsum(c.to_pass for c in chances) / len(chances),
            to_fail=math.fsum(c.to_fail for c in chances) / len(chances),
        )


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a gate can decide in one step."""

    passes_equal: float
    """Chance to pass an equal model at the first end of the step."""
    passes_equal_at_last: float
    """The same at the last end, with `ends` times as many samples."""
    fails_worse: float
    """Chance to fail a model that is worse by `worse_by`, at the first end."""
    fails_worse_at_last: float
    """The same at the last end."""
    worse_by: float
    sample: int
    ends: int
    least: int | None
    """Least sample at which the first end passes an equal model with `required`; None: no sample does."""
    required: float = REQUIRED_POWER

    @property
    def decides(self) -> bool:
        """Whether the gate is worth its looks."""
        return self.passes_equal_at_last >= self.required

    @property
    def catches(self) -> bool:
        """Whether a model that is worse by `worse_by` fails in the step more often than not. Where it does not fail it passes hardly ever: the roll-out is held."""
        return self.fails_worse_at_last >= 0.5


def power_of(
    expected: Expected,
    *,
    sample: int,
    ends: int,
    margin: float,
    worse_by: float,
    levels: Levels,
    required: float = REQUIRED_POWER,
) -> Power:
    """Return the power with `sample` observations at the first of `ends` ends of a step. `levels` are those of one look.

    required: the chance to pass an equal model that `least` is to have.
    """

    def equal(samples: int) -> float:
        return expected.chances(samples, 0.0, margin=margin, levels=levels).to_pass

    def worse(samples: int) -> float:
        return expected.chances(samples, worse_by, margin=margin, levels=levels).to_fail

    return Power(
        passes_equal=equal(sample),
        passes_equal_at_last=equal(ends * sample),
        fails_worse=worse(sample),
        fails_worse_at_last=worse(ends * sample),
        worse_by=worse_by,
        sample=sample,
        ends=ends,
        least=least_sample(equal, required),
        required=required,
    )


def sentence(gate: str, power: Power, *, margin: float, field: str = "minRequests") -> str:
    """Return what `validate` prints: the chances, or a refusal that names a value that decides."""
    if power.decides:
        return (
            f"gate {gate}, margin {percent(margin)}, {field} {power.sample}: passes an equal model with {chance(power.passes_equal)} at the first end of a "
            f"step, {chance(power.passes_equal_at_last)} by the last; fails one that is worse by {percent(power.worse_by)} with {chance(power.fails_worse)}, "
            f"{chance(power.fails_worse_at_last)} by the last"
        )
    remedy = (
        f"set it to {power.least} or more, or widen the margin"
        if power.least is not None
        else "no number of requests can: widen the margin"
    )
    return (
        f"gate {gate}: {field} {power.sample} cannot decide a margin of {percent(margin)}: an equal model passes with {chance(power.passes_equal_at_last)} only, "
        f"even with {power.ends * power.sample}; {remedy}"
    )


def warning(gate: str, power: Power, *, least: int | None, field: str = "minRequests") -> str:
    """Return what `validate` prints of a gate that decides and seldom catches a worse model. least: the sample of a step that catches it with `REQUIRED_POWER`."""
    enough = "no number of requests brings it back"
    if least is not None:
        enough = f"{least} requests in a step bring it back ({field} {math.ceil(least / power.ends)})"
    return (
        f"warning: gate {gate}, {field} {power.sample}: a model that is worse by {percent(power.worse_by)} is oftener Held than brought back; "
        f"{enough} with {chance(REQUIRED_POWER)}"
    )


def chance(probability: float) -> str:
    """Return a probability without false certainty: "97 %", "over 99 %"."""
    if probability > 0.99:
        return "over 99 %"
    return "under 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def least_sample(equal: Callable[[int], float], required: float) -> int | None:
    """Return the least sample at which the chance is as required, to 1 %; None: no sample is enough. The power of discrete tests has teeth, so a slightly smaller sample may do as well."""
    high = 8
    while equal(high) < required:
        high *= 2
        if high > _MOST_SAMPLES:
            return None
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if equal(middle) >= required else (middle, high)
    return high


def _chances_of_events(
    sample: int, share: float, evidence: Callable[[int], Evidence | Missing], margin: float
) -> Chances:
    """Return the chances for the canary's events ~ Binomial(sample, share): both limits of harm grow with the events."""

    def fails(events: int) -> bool:
        found = evidence(events)
        return isinstance(found, Evidence) and found.low > margin and found.can_fail

    def passes_not(events: int) -> bool:
        found = evidence(events)
        return not (isinstance(found, Evidence) and found.high <= margin)

    return Chances(
        to_pass=1 - tail_at_least(_first(sample, passes_not), sample, share),
        to_fail=tail_at_least(_first(sample, fails), sample, share),
    )


def _first(sample: int, holds: Callable[[int], bool]) -> int:
    """Return the least number of events for which `holds` is true, sample + 1 if there is none; once true it stays true."""
    low, high = 0, sample + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _equally_likely(trials: int, share: float) -> list[int]:
    """Return `_NODES` values of Binomial(trials, share), each for an equal part of its probability."""

    def reached(part: float, events: int) -> bool:
        return 1 - tail_at_least(events + 1, trials, share) >= part

    return [_first(trials, functools.partial(reached, (node + 0.5) / _NODES)) for node in range(_NODES)]


def _swapped(evidence: Callable[[int, int], Evidence | Missing], events: int, worse: int) -> Evidence | Missing:
    return evidence(worse, events)
