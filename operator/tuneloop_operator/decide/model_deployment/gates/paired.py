"""0/1 outcomes of both revisions on the same rows, such as wrong answers on golden rows.

Harm = (rows where only the canary is wrong − rows where only stable is wrong) / rows. Rows on which both agree say that harm is small.

The limits join the exact limits of the two discordant shares, by Clopper and Pearson, with their multinomial correlation (MOVER: Newcombe, Statistics in
Medicine 17 (1998) 2635–2650; Zou and Donner, Statistics in Medicine 27 (2008) 1693–1702). Tango's score interval (Statistics in Medicine 17 (1998) 891–908) was measured next to it:
its Pass is as good, but its Fail comes up to 1.6 times as often as the level says where stable is nearly never wrong alone (docs/results.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.binomial import lower_limit, upper_limit
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels

LEAST_DISCORDANT = 5
"""Fewer discordant pairs never prove harm. They may prove that there is little of it: of 1,000 rows, 996 agreed."""


@dataclass(frozen=True, kw_only=True)
class PairedCounts:
    """Rows that both revisions answered, by who was wrong."""

    rows: int
    both_wrong: int
    canary_only: int
    stable_only: int

    @property
    def discordant(self) -> int:
        """Rows on which exactly one revision is wrong."""
        return self.canary_only + self.stable_only

    @property
    def makes_sense(self) -> bool:
        """Whether the counts can be counts."""
        return (
            min(self.both_wrong, self.canary_only, self.stable_only) >= 0
            and self.both_wrong + self.discordant <= self.rows
        )


def paired_difference(noun: str, counts: PairedCounts, *, levels: Levels) -> Evidence | Missing:
    """Return harm = share of the canary − share of stable, on the same rows. `noun` names the events: "wrong answers"."""
    if not counts.makes_sense:
        return Missing(verdict=Verdict.ERROR, reason=f"the counts of {noun} exceed the {counts.rows} rows")
    if counts.rows == 0:
        return Missing(verdict=Verdict.NO_DATA, reason="no row was answered by both")
    harm = (counts.canary_only - counts.stable_only) / counts.rows
    canary = (counts.both_wrong + counts.canary_only) / counts.rows
    stable = (counts.both_wrong + counts.stable_only) / counts.rows
    return Evidence(
        harm=harm,
        low=harm - _reach(counts.canary_only, counts.stable_only, counts.rows, levels.fail, towards_less=True),
        high=harm + _reach(counts.canary_only, counts.stable_only, counts.rows, levels.promote, towards_less=False),
        canary=canary,
        stable=stable,
        sample=counts.rows,
        facts=f"canary {noun} {percent(canary)}, stable {percent(stable)} on the same {counts.rows} rows ({counts.discordant} discordant)",
        can_fail=counts.discordant >= LEAST_DISCORDANT,
    )


def _reach(worse: int, better: int, rows: int, level: float, *, towards_less: bool) -> float:
    """Return the distance from the estimate to its limit. The two shares of one multinomial are correlated by −√(odds · odds)."""
    p, q = worse / rows, better / rows
    if towards_less:
        first, second = p - lower_limit(worse, rows, level), upper_limit(better, rows, level) - q
    else:
        first, second = upper_limit(worse, rows, level) - p, q - lower_limit(better, rows, level)
    correlation = math.sqrt(p * q / ((1 - p) * (1 - q))) if p < 1 and q < 1 else 0.0
    return math.sqrt(first * first + second * second + 2 * correlation * first * second)
