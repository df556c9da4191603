"""A roll-out in one sentence, for `kubectl get` and `describe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.rollout.gate_summary import sentences
from tuneloop_operator.decide.model_deployment.rollout.state import IDLE, Phase
from tuneloop_operator.decide.model_deployment.rollout.strategies import step_of, steps_of

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.rollout.facts import RolloutSpec
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout


def story(rollout: Rollout, spec: RolloutSpec, *, now: datetime) -> str:
    """Return where the roll-out is, what it has found, and what comes next."""
    parts = [_headline(rollout, spec), *_findings(rollout, spec, now=now)]
    return "; ".join(part for part in parts if part)


def _headline(rollout: Rollout, spec: RolloutSpec) -> str:
    canary, stable = rollout.canary, rollout.stable
    cause = f": {rollout.ending.message}" if rollout.ending else ""
    headlines = {
        Phase.STARTING: f"{canary} starts beside {stable}",
        Phase.PROMOTING: f"{canary} is being promoted, {rollout.split.weight_of(canary)} % of the requests so far",
        Phase.ROLLING_BACK: f"{canary} is being rolled back to {stable}{cause}",
        Phase.REVERTING: f"{stable} is being rolled back to {canary}{cause}",
        Phase.BAKING: f"{stable} is promoted and watched",
    } | dict.fromkeys(IDLE, f"{stable} gets all requests{'' if rollout.has_served else ' once a server is ready'}")
    return headlines.get(rollout.phase) or _step(rollout, spec)


def _step(rollout: Rollout, spec: RolloutSpec) -> str:
    """For example `step 2 of 4: 25 % to 7f3a, 312 of 500 requests`."""
    steps, step = steps_of(rollout, spec), step_of(rollout, spec)
    place = f"step {min(rollout.step + 1, len(steps))} of {len(steps)}"
    weight = rollout.split.weight_of(rollout.canary)
    share = f"{weight} % to {rollout.canary}"
    if weight == 0 and rollout.split.shadow:
        share = f"copies of {rollout.split.shadow} % to {rollout.canary}"
    elif weight == 0:
        share = f"{rollout.canary} is judged without requests"
    requests = f", {rollout.requests} of {step.min_requests} requests" if step.min_requests else ""
    return f"{place}: {share}{requests}"


def _findings(rollout: Rollout, spec: RolloutSpec, *, now: datetime) -> list[str]:
    gates = sentences(rollout.gates)
    match rollout.phase:
        case Phase.PROGRESSING:
            wait = _left(rollout.step_started, step_of(rollout, spec).min_duration, now=now)
            if wait:
                coming = "promotion" if rollout.step + 1 >= len(steps_of(rollout, spec)) else "next step"
                return [*gates, f"{coming} in {wait} at the earliest"]
            return [*gates, _beside(gates, rollout, spec)]
        case Phase.HELD | Phase.PAUSED:
            return [*(gate for gate in gates if gate not in rollout.why), f"waits: {rollout.why}"]
        case Phase.BAKING:
            wait = _left(rollout.promoted, spec.baking, now=now)
            return [*gates, f"{wait} to go" if wait else "", rollout.why]
    is_told = rollout.ending is not None and rollout.why == rollout.ending.message
    return [] if is_told else [rollout.why]


def _beside(gates: list[str], rollout: Rollout, spec: RolloutSpec) -> str:
    """Return what the reason says beside the gates and the figures; empty if it only repeats them."""
    figures = f"{rollout.requests} of {step_of(rollout, spec).min_requests} requests"
    if rollout.why in {figures, "the step is not over yet"}:
        return ""
    rest = rollout.why
    for gate in gates:
        rest = rest.replace(gate, "")
    return "; ".join(part for part in rest.split("; ") if part)


def _left(since: datetime | None, length: float, *, now: datetime) -> str:
    """Return the time that is left in words; empty if it is over."""
    left = length if since is None else length - (now - since).total_seconds()
    if left <= 0:
        return ""
    if left < 60:
        return f"{left:.0f} s"
    if left < 7200:
        return f"{left / 60:.0f} min"
    return f"{left / 3600:.0f} h"
