"""A share of requests against a fixed bound, by Clopper and Pearson's exact limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.statistics.binomial import lower_limit, upper_limit
from tuneloop_operator.decide.model_deployment.gates.evidence import Evidence, Missing, percent
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.gates.evidence import Levels


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of `trials` were an event, such as an error."""

    events: int
    trials: int

    @property
    def value(self) -> float:
        """Events per trial; there must be a trial."""
        return self.events / self.trials

    @property
    def makes_sense(self) -> bool:
        """Whether the counts can be counts."""
        return 0 <= self.events <= self.trials


def against_bound(noun: str, *, canary: Share, levels: Levels) -> Evidence | Missing:
    """Return the canary's share itself as harm: the margin is the bound. For example "disagreements" of all compared requests."""
    if not canary.makes_sense:
        return Missing(
            verdict=Verdict.ERROR, reason=f"canary counts {canary.events} {noun} of {canary.trials} requests"
        )
    if canary.trials == 0:
        return Missing(verdict=Verdict.NO_DATA, reason="canary had no requests")
    return Evidence(
        harm=canary.value,
        low=lower_limit(canary.events, canary.trials, levels.fail),
        high=upper_limit(canary.events, canary.trials, levels.promote),
        canary=canary.value,
        sample=canary.trials,
        facts=f"canary {noun} {percent(canary.value)}",
    )
