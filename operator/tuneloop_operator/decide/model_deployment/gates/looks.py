"""When a gate looks at its data, and at which levels. The number of looks is finite, so the errors of all looks together stay within alpha.

Each step of a roll-out counts anew: a weight holds for the whole step, so both revisions meet the same hours and the same users. Looks come at
fixed shares of `minRequests`: `EARLY` ones, at which only Fail may come, and the step's ends, at 1, 2, … times `minRequests`, as many as
`inconclusiveLimit` allows. At an end Pass may come; if it does not, the step goes on to its next end.

Fail at any look of any step rolls back, so all looks share alpha. To be promoted a canary must pass every step, so a bad one must pass the step that
is best at finding it: only the ends of one step share alpha for Pass.

The shares are equal (Bonferroni). That holds whatever the looks have in common and at whatever sizes they come, with exact tests as with normal ones.
O'Brien and Fleming's spending (Lan and DeMets, Biometrika 70 (1983) 659–663) saves alpha for late looks; a roll-out wants the opposite, to stop a bad canary
while its weight is small. Simulated side by side in docs/results.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.evidence import Levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EARLY = (0.25, 0.5)
"""Shares of a step's `minRequests` at which only Fail may come."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One planned look of a gate."""

    number: int
    """In the roll-out, from 1."""
    step: int
    """From 1."""
    at_step_end: bool
    """Whether Pass may come."""
    samples: int
    """Requests of the canary, or pairs, since the step began, that the look waits for. It may come later, with more."""
    levels: Levels


def planned_looks(min_requests: Sequence[int], *, alpha: float, inconclusive_limit: int) -> tuple[Look, ...]:
    """Return the looks of a gate whose data grows, in order. `min_requests`: one positive number for each step that is tested."""
    places = [
        (step, at_end, samples)
        for step, requests in enumerate(min_requests, start=1)
        for at_end, samples in (
            *((False, math.ceil(share * requests)) for share in EARLY),
            *((True, times * requests) for times in range(1, inconclusive_limit + 1)),
        )
    ]
    levels = Levels(fail=alpha / len(places), promote=alpha / inconclusive_limit)
    return tuple(
        Look(number=number, step=step, at_step_end=at_end, samples=samples, levels=levels)
        for number, (step, at_end, samples) in enumerate(places, start=1)
    )


def single_look(rows: int, *, alpha: float) -> tuple[Look, ...]:
    """Return the only look of a gate on fixed rows, such as a golden set: both revisions answer them once, and to look again shows the same."""
    return (Look(number=1, step=1, at_step_end=True, samples=rows, levels=Levels(fail=alpha, promote=alpha)),)


def due_look(plan: Iterable[Look], *, step: int, samples: int, last_taken: int) -> Look | None:
    """Return the next look of the step if its samples are there. One look at a time: a jump of the counts skips none, and each keeps its level."""
    following = next((look for look in plan if look.step == step and look.number > last_taken), None)
    return following if following is not None and following.samples <= samples else None
