"""Shares of requests: the canary's against stable's in the same window, or against a fixed bound.

The limits of a difference join the exact limits of the two shares (MOVER: Newcombe, Statistics in Medicine 17 (1998) 873–890, method 10; Zou and
Donner, Statistics in Medicine 27 (2008) 1693–1702), with Clopper–Pearson's limits where Newcombe has Wilson's.

Why not Wilson's, nor Miettinen and Nurminen's score interval: both are made for the two sides together at 5 %. A gate uses one side, at the small
level of one look, for rare events and with far fewer requests at the canary. There both fail a canary at the margin up to three times as often as
the level says; with exact limits it is less often than the level (docs/results.md).
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


def difference(noun: str, *, canary: Share, stable: Share, levels: Levels) -> Evidence | Missing:
    """Return harm = share of canary − share of stable, of two independent groups of requests. `noun` names the events: "errors"."""
    for role, share in (("canary", canary), ("stable", stable)):
        if not share.makes_sense:
            return Missing(
                verdict=Verdict.ERROR, reason=f"{role} counts {share.events} {noun} of {share.trials} requests"
            )
        if share.trials == 0:
            return Missing(verdict=Verdict.NO_DATA, reason=f"{role} had no requests", sample=canary.trials)
    harm = canary.value - stable.value
    below = math.hypot(
        canary.value - lower_limit(canary.events, canary.trials, levels.fail),
        upper_limit(stable.events, stable.trials, levels.fail) - stable.value,
    )
    above = math.hypot(
        upper_limit(canary.events, canary.trials, levels.promote) - canary.value,
        stable.value - lower_limit(stable.events, stable.trials, levels.promote),
    )
    return Evidence(
        harm=harm,
        low=harm - below,
        high=harm + above,
        canary=canary.value,
        stable=stable.value,
        sample=canary.trials,
        facts=f"canary {noun} {percent(canary.value)}, stable {percent(stable.value)}",
    )


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
