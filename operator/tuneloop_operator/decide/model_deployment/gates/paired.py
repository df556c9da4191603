"""0/1 outcomes of both revisions on the same rows, such as wrong answers on golden rows.

Harm = (rows where only the canary is wrong − rows where only stable is wrong) / rows. Rows on which both agree say that harm is small.

The limits are those of `tuneloop_api.statistics.paired`, which the trainer uses, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.statistics.paired import (
    LEAST_DISCORDANT,
    lower_limit_of_difference,
    upper_limit_of_difference,
)
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels


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
        low=lower_limit_of_difference(counts.canary_only, counts.stable_only, counts.rows, levels.fail),
        high=upper_limit_of_difference(counts.canary_only, counts.stable_only, counts.rows, levels.promote),
        canary=canary,
        stable=stable,
        sample=counts.rows,
        facts=f"canary {noun} {percent(canary)}, stable {percent(stable)} on the same {counts.rows} rows ({counts.discordant} discordant)",
        can_fail=counts.discordant >= LEAST_DISCORDANT,
    )
