"""What people read about a roll-out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rollouts import NOW, a_spec, after, baking, facts_for, in_step, measured, serving

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.decide.model_deployment.rollout.state import Ending, Phase, RejectionReason, Rollout
from tuneloop_operator.decide.model_deployment.rollout.story import story

SPEC = a_spec(gates=("error-ratio",))
FAILED = Ending(
    phase=Phase.ROLLED_BACK,
    reason=RejectionReason.GATE_FAILED,
    message="gate quality Fail (harm 3 %, margin 1 %)",
)
GOOD = "gate error-ratio Pass (harm 0.1 %, margin 1 %)"


def read_by_people(rollout: Rollout, **actions: GateAction) -> str:
    """Return the story after a decision with 312 requests in the step."""
    if actions:
        facts = facts_for(rollout, spec=SPEC, measured=measured(rollout, requests=312, **actions))
        rollout = after(rollout, facts)
    return story(rollout, SPEC, now=NOW)


def test_a_step_tells_its_weight_its_requests_its_gates_and_what_comes_next() -> None:
    rollout = in_step(1, step_started=NOW - timedelta(minutes=6))
    assert read_by_people(rollout, **{"error-ratio": GateAction.ADVANCE}) == (
        f"step 2 of 4: 25 % to r2, 312 of 500 requests; {GOOD}; next step in 4 min at the earliest"
    )


@pytest.mark.parametrize(
    ("rollout", "text"),
    [
        pytest.param(serving(), "r1 gets all requests", id="nothing to do"),
        pytest.param(
            serving(has_served=False), "r1 gets all requests once a server is ready", id="no server has answered yet"
        ),
        pytest.param(
            serving(canary="r2", phase=Phase.STARTING, why="1 of 4 servers of r2 are ready"),
            "r2 starts beside r1; 1 of 4 servers of r2 are ready",
            id="starting",
        ),
        pytest.param(
            in_step(1, phase=Phase.PAUSED, requests=500, why="a person must approve step 2 of r2"),
            "step 2 of 4: 25 % to r2, 500 of 500 requests; waits: a person must approve step 2 of r2",
            id="paused",
        ),
        pytest.param(
            in_step(2, phase=Phase.PROMOTING, why="2 of 4 servers of r2 are ready"),
            "r2 is being promoted, 50 % of the requests so far; 2 of 4 servers of r2 are ready",
            id="promoting",
        ),
        pytest.param(
            in_step(1, phase=Phase.ROLLING_BACK, ending=FAILED, why="b does not follow generation 12 yet"),
            "r2 is being rolled back to r1: gate quality Fail (harm 3 %, margin 1 %); b does not follow generation 12 yet",
            id="rolling back",
        ),
        pytest.param(
            baking(why="r1 is kept for a roll-back"),
            "r2 is promoted and watched; 50 min to go; r1 is kept for a roll-back",
            id="baking",
        ),
        pytest.param(
            baking(phase=Phase.REVERTING, canary="r1", why="0 of 4 servers of r1 are ready"),
            "r2 is being rolled back to r1; 0 of 4 servers of r1 are ready",
            id="going back",
        ),
        pytest.param(
            serving(phase=Phase.ROLLED_BACK, why="gate quality Fail (harm 3 %, margin 1 %)"),
            "r1 gets all requests; gate quality Fail (harm 3 %, margin 1 %)",
            id="rolled back",
        ),
        pytest.param(
            in_step(0, split=replace(in_step(0).split, weights=(("r1", 100),), shadow=10), step_started=NOW),
            "step 1 of 4: copies of 10 % to r2, 0 of 100 requests; next step in 1 min at the earliest",
            id="copies",
        ),
    ],
)
def test_every_phase_has_a_sentence(rollout: Rollout, text: str) -> None:
    assert read_by_people(rollout) == text


def test_a_reason_that_the_figures_tell_is_not_told_twice() -> None:
    rollout = in_step(1)
    text = read_by_people(rollout, **{"error-ratio": GateAction.HOLD})
    assert text.count("312 of 500") == 1


def test_gates_that_say_the_same_are_told_at_once() -> None:
    silent = [
        GateSummary(name=name, verdict=Verdict.NO_DATA, action=GateAction.HOLD, reason="it is still starting")
        for name in ("errors", "latency", "golden")
    ]
    other = GateSummary(name="ours", verdict=Verdict.PASS, action=GateAction.ADVANCE, reason="0.1, bound 1")
    rollout = in_step(1, step_started=NOW - timedelta(minutes=6), gates=(*silent[:1], other, *silent[1:]))
    text = "gates errors, latency and golden NoData (it is still starting); gate ours Pass (0.1, bound 1); next step"
    assert text in story(rollout, SPEC, now=NOW)


def gates(**verdicts: tuple[Verdict, GateAction]) -> tuple[GateSummary, ...]:
    return tuple(
        GateSummary(name=name, verdict=verdict, action=action, reason=f"figures of {name}")
        for name, (verdict, action) in verdicts.items()
    )


PASS, OPEN = (Verdict.PASS, GateAction.ADVANCE), (Verdict.INCONCLUSIVE, GateAction.HOLD)
GIVEN_UP = (Verdict.INCONCLUSIVE, GateAction.GIVE_UP)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        ({"golden": PASS, "errors": OPEN, "latency": OPEN}, ""),
        ({"golden": OPEN, "errors": OPEN, "latency": OPEN}, ""),
        ({"golden": PASS, "errors": OPEN}, "; gate latency has no result yet"),
        ({}, "; gate golden has no result yet; gate errors has no result yet; gate latency has no result yet"),
    ],
    ids=["some are open", "all are open", "one is missing", "all are missing"],
)
def test_at_the_end_of_a_step_each_gate_is_told_once(found: dict[str, Any], end: str) -> None:
    spec, rollout = a_spec(gates=("golden", "errors", "latency")), in_step(1)
    results = replace(measured(rollout), gates=gates(**found))
    rollout = after(rollout, facts_for(rollout, spec=spec, measured=results))
    sentences = "".join(f"; gate {name} {verdict} (figures of {name})" for name, (verdict, _) in found.items())
    assert story(rollout, spec, now=NOW) == f"step 2 of 4: 25 % to r2, 1000 of 500 requests{sentences}{end}"


def test_a_held_roll_out_tells_once_which_gate_gave_up() -> None:
    spec, rollout = a_spec(gates=("golden", "errors")), in_step(1)
    results = replace(measured(rollout), gates=gates(golden=PASS, errors=GIVEN_UP))
    rollout = after(rollout, facts_for(rollout, spec=spec, measured=results))
    assert story(replace(rollout, gates=results.gates), spec, now=NOW) == (
        "step 2 of 4: r2 is judged without requests, 0 of 500 requests; gate golden Pass (figures of golden); "
        "waits: gate errors Inconclusive (figures of errors), so r2 waits for a person: retry, skip, promote or abort"
    )
