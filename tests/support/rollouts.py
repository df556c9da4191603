"""Roll-outs for tests: the memory of a deployment in some phase, and the facts around it. r1 is stable, r2 is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.rollout.facts import (
    Action,
    Command,
    Facts,
    Measurements,
    RolloutSpec,
    StepSpec,
    measured_step,
)
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rollout, Router, Split, Strategy

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
STEPS = (
    StepSpec(weight=5, min_duration=60.0, min_requests=100),
    StepSpec(weight=25, min_duration=600.0, min_requests=500),
    StepSpec(weight=50),
    StepSpec(weight=100),
)


def a_spec(**fields: Any) -> RolloutSpec:
    """Return a spec of four servers and four steps."""
    usual: dict[str, Any] = {"strategy": Strategy.CANARY, "steps": STEPS, "replicas": 4, "digest": "first"}
    return RolloutSpec(**usual | fields)


def serving(**fields: Any) -> Rollout:
    """Return the memory of a deployment in which r1 gets all requests."""
    usual: dict[str, Any] = {
        "strategy": Strategy.CANARY,
        "stable": "r1",
        "has_served": True,
        "split": Split(generation=1, weights=(("r1", 100),)),
    }
    return Rollout(**usual | fields)


def in_step(index: int, **fields: Any) -> Rollout:
    """Return the memory of a roll-out whose step has been in force for 20 minutes."""
    weight = STEPS[index].weight
    split = Split(generation=10 + index, weights=(("r2", weight), ("r1", 100 - weight))[: 1 if weight == 100 else 2])
    usual: dict[str, Any] = {
        "canary": "r2",
        "phase": Phase.PROGRESSING,
        "step": index,
        "started": NOW - timedelta(hours=1),
        "step_started": NOW - timedelta(minutes=20),
        "split": split,
    }
    return serving(**usual | fields)


def baking(**fields: Any) -> Rollout:
    """Return the memory of a deployment that was promoted to r2 ten minutes ago."""
    since = NOW - timedelta(minutes=10)
    usual: dict[str, Any] = {
        "stable": "r2",
        "previous": "r1",
        "phase": Phase.BAKING,
        "promoted": since,
        "step_started": since,
        "split": Split(generation=20, weights=(("r2", 100),)),
    }
    return serving(**usual | fields)


def facts_for(rollout: Rollout, **fields: Any) -> Facts:
    """Return facts in which all servers are ready and two routers follow the split that is wanted."""
    generation = rollout.split.generation
    usual: dict[str, Any] = {
        "spec": a_spec(),
        "offered": "r2",
        "revisions": ("r1", "r2"),
        "counts": (("r1", 4), ("r2", 4)),
        "ready": (("r1", 4), ("r2", 4)),
        "routers": tuple(Router(name=name, generation=generation) for name in ("a", "b")),
    }
    return Facts(**usual | fields)


def measured(rollout: Rollout, *, requests: int = 1000, **actions: GateAction) -> Measurements:
    """Return measurements of the current step: requests, and by gate what it asks for."""
    verdicts = {
        GateAction.ADVANCE: Verdict.PASS,
        GateAction.HOLD: Verdict.NO_DATA,
        GateAction.ROLL_BACK: Verdict.FAIL,
        GateAction.GIVE_UP: Verdict.ERROR,
    }
    step = measured_step(rollout)
    assert step is not None
    gates = tuple(
        GateSummary(name=name, verdict=verdicts[action], action=action, reason="harm 0.1 %, margin 1 %")
        for name, action in actions.items()
    )
    return Measurements(step=step, requests=requests, gates=gates)


def asking(action: Action, *, token: str = "t1", revision: str = "") -> Command:
    """Return a person's command."""
    return Command(action=action, token=token, revision=revision)


def after(rollout: Rollout | None, facts: Facts, *, now: datetime = NOW) -> Rollout:
    """Return the memory after one decision."""
    return decide(rollout, facts, now=now).rollout


def following(rollout: Rollout, facts: Facts, **fields: Any) -> Facts:
    """Return the facts once every router follows what the memory wants."""
    routers = tuple(replace(router, generation=rollout.split.generation) for router in facts.routers)
    return replace(facts, routers=routers, **fields)
