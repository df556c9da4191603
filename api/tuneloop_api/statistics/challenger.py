"""Whether a challenger may take the champion's place: both were measured on the same rows, and the limits of their difference decide. Pure.

Gain = metric of the challenger − metric of the champion, in units of the metric. Its limits are one-sided.

On the golden set the challenger must not be inferior, and on a recent window it must be better. Without a recent window the golden set says both. To be Better it must pass
both tests, so neither needs a stricter level (intersection-union: Berger, Technometrics 24 (1982) 295–300). A slice can only block. Slices share their level, for one of many
looks bad by chance, and have a margin of their own: a slice has fewer rows, and a better model may give up a little of one class for more of another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_api.statistics.paired import (
    LEAST_DISCORDANT,
    lower_limit_of_difference,
    upper_limit_of_difference,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.05
"""Most probability that a limit is on the wrong side of the true gain."""


SLICE_FACTOR = 2.0
"""About how much wider the limits of one of two to three equal classes are than those of all rows: √2 to √3 for the rows, 1.2 to 1.3 for the shared level."""


class Verdict(StrEnum):
    """What was found of a set, of a slice, or of all of them."""

    BETTER = "Better"
    NOT_INFERIOR = "NotInferior"
    """Of a golden set beside a recent window, and of a slice: not worse by the margin."""
    NOT_BETTER = "NotBetter"
    """A gain of the margin over `min_improvement` is ruled out."""
    WORSE = "Worse"
    """Worse by more than the margin."""
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of a challenger, in units of the metric."""

    margin: float
    """Positive: how much worse is still not inferior."""
    min_improvement: float
    """Not negative: the gain that the lower limit must exceed."""
    slice_margin: float | None = None
    """As `margin`, of a slice; None: `SLICE_FACTOR` times as wide."""

    @property
    def of_slices(self) -> Rules:
        """What is asked of each slice."""
        return replace(self, margin=SLICE_FACTOR * self.margin if self.slice_margin is None else self.slice_margin)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain on some rows; None: a limit that these rows do not give."""

    value: float
    low: float | None
    high: float | None
    discordant: int
    """Rows, or groups of rows, on which exactly one of the two is right, or which they answer unlike."""
    is_exact: bool = True
    """Whether the limits hold with few discordant rows as well; those of a bootstrap do not."""


@dataclass(frozen=True, kw_only=True)
class SetVerdict:
    """The verdict of a set and of each slice of it."""

    name: str
    verdict: Verdict
    reason: str
    worse_slices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The verdict of all sets, and why in one sentence."""

    verdict: Verdict
    reason: str


def gain_of_pairs(challenger_only: int, champion_only: int, rows: int, *, level: float = LEVEL) -> Gain:
    """Return the gain in the share of right answers. challenger_only: rows that the challenger alone has right."""
    return Gain(
        value=(challenger_only - champion_only) / rows,
        low=lower_limit_of_difference(challenger_only, champion_only, rows, level),
        high=upper_limit_of_difference(challenger_only, champion_only, rows, level),
        discordant=challenger_only + champion_only,
    )


def non_inferiority(gain: Gain, rules: Rules) -> Verdict:
    """Return NotInferior, Worse or Inconclusive. Many rows that both answer alike prove that nothing is lost; a loss takes rows that differ."""
    if gain.low is None or gain.high is None:
        return Verdict.INCONCLUSIVE
    has_enough = gain.discordant >= LEAST_DISCORDANT
    if gain.high < -rules.margin and has_enough:
        return Verdict.WORSE
    return Verdict.NOT_INFERIOR if gain.low > -rules.margin and (gain.is_exact or has_enough) else Verdict.INCONCLUSIVE


def improvement(gain: Gain, rules: Rules) -> Verdict:
    """Return Better, NotBetter, Worse or Inconclusive."""
    if gain.low is None or gain.high is None or gain.discordant < LEAST_DISCORDANT:
        return Verdict.INCONCLUSIVE
    if gain.high < -rules.margin:
        return Verdict.WORSE
    if gain.low > rules.min_improvement:
        return Verdict.BETTER
    return Verdict.NOT_BETTER if gain.high < rules.min_improvement + rules.margin else Verdict.INCONCLUSIVE


def outcome_of(sets: Sequence[SetVerdict]) -> Outcome:
    """Return what all sets say together. sets: the golden set, then the recent window where there is one; the last says whether the challenger is better."""
    reason = "; ".join(found.reason for found in sets)
    if slices := [f"{name} of the {found.name} set" for found in sets for name in found.worse_slices]:
        return Outcome(verdict=Verdict.WORSE, reason=f"worse on {', '.join(slices)}; {reason}")
    verdicts = [found.verdict for found in sets]
    if Verdict.WORSE in verdicts:
        return Outcome(verdict=Verdict.WORSE, reason=reason)
    decisive = verdicts[-1]
    if decisive is Verdict.BETTER and Verdict.INCONCLUSIVE in verdicts:
        decisive = Verdict.INCONCLUSIVE
    return Outcome(verdict=decisive, reason=reason)


def sentence(rows: str, gain: Gain, verdict: Verdict, *, metric: str, rules: Rules) -> str:
    """Return the verdict with its numbers. rows: such as "2,000 golden rows"."""
    limits = (
        "without limits"
        if gain.low is None or gain.high is None
        else f"at least {gain.low:+.4f}, at most {gain.high:+.4f}"
    )
    few = (
        f", fewer than {LEAST_DISCORDANT}"
        if verdict is Verdict.INCONCLUSIVE and gain.discordant < LEAST_DISCORDANT
        else ""
    )
    return (
        f"{_WORDS[verdict]} on {rows}: {metric} {gain.value:+.4f} ({limits}; {gain.discordant} discordant{few}; "
        f"margin {rules.margin:g}, minImprovement {rules.min_improvement:g})"
    )


_WORDS = {
    Verdict.BETTER: "better",
    Verdict.NOT_INFERIOR: "not inferior",
    Verdict.NOT_BETTER: "not better",
    Verdict.WORSE: "worse",
    Verdict.INCONCLUSIVE: "inconclusive",
}
