"""The memory of a roll-out in the status: whatever happens, what is read is what was written, and the decision is the same."""

from __future__ import annotations

import json
import math
import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_moves import decided, moves
from rollout_worlds import NOW, World, random_world

from tuneloop_api.v1alpha1.model_deployment.rollout_status import (
    GateActionWord,
    GateMemoryStatus,
    GateVerdict,
    RejectionWord,
    RolloutPhase,
    RolloutStatus,
)
from tuneloop_api.v1alpha1.model_deployment.rollout_status import Strategy as StrategyWord
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, GateResult, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_records import read_gate_memory, written_gate_memory
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.decide.model_deployment.rollout.memory import remembered, written
from tuneloop_operator.decide.model_deployment.rollout.state import (
    Ending,
    Phase,
    Rejection,
    RejectionReason,
    Rollout,
    Router,
    Split,
    Strategy,
)

RESULT = GateResult(
    gate="errors",
    verdict=Verdict.INCONCLUSIVE,
    harm=0.0,
    low=-0.002,
    high=math.inf,
    margin=0.01,
    canary=0.003,
    stable=0.003,
    sample=1000,
    look=7,
    at_step_end=True,
    reason="canary errors 0.3 %, stable 0.3 %",
)
NOTHING = GateResult(
    gate="errors", verdict=Verdict.NO_DATA, margin=0.01, look=7, at_step_end=False, reason="no answer yet"
)
FULL = Rollout(
    strategy=Strategy.SHADOW,
    stable="03ab",
    canary="7d1f",
    previous="11aa",
    has_served=True,
    phase=Phase.ROLLING_BACK,
    split=Split(generation=12, weights=(("7d1f", 5), ("03ab", 95)), shadow=10),
    earlier=(Split(generation=11, weights=(("03ab", 100),)),),
    in_force=(
        Router(name="reviews-router-a", generation=12),
        Router(name="reviews-router-b", generation=None, refused=12, reason="no room"),
    ),
    step=2,
    started=NOW - timedelta(hours=1),
    step_started=NOW - timedelta(minutes=5),
    promoted=NOW - timedelta(days=2),
    requests=312,
    gates=(GateSummary(name="errors", verdict=Verdict.NO_DATA, action=GateAction.HOLD, reason="12 of 400 requests"),),
    gate_memories=(
        GateMemory(
            gate="errors",
            step=3,
            look=7,
            started_at="2026-11-29T10:00:00.123Z",
            base=(1200, 2, 0, 1),
            results=(RESULT, NOTHING, NOTHING, replace(NOTHING, verdict=Verdict.ERROR)),
            counted=NOW,
            read_at=NOW,
        ),
        GateMemory(gate="latency", base=()),
    ),
    replayed_before=0,
    replays=True,
    outages=2,
    approved_steps=(0, 1),
    is_approved=True,
    is_forced=True,
    is_skipped=True,
    ending=Ending(
        phase=Phase.ROLLED_BACK, reason=RejectionReason.GATE_FAILED, message="gate errors failed", failure="OutOfMemory"
    ),
    rejected=(
        Rejection(
            revision="99ff",
            reason=RejectionReason.BROKEN,
            message="no memory",
            at=NOW,
            spec_digest="sha256:1",
            failure="OutOfMemory",
        ),
    ),
    commands=("retry-1",),
    recent_events=(Event(type="Warning", reason="RollingBack", message="gate errors failed", at=NOW),),
    why="gate errors failed",
)
"""A memory in which every field is set."""


def through_the_status(rollout: Rollout) -> Rollout:
    wire = json.loads(json.dumps(written(rollout).to_wire()))
    return remembered(RolloutStatus.from_wire(wire))


def test_every_field_is_kept() -> None:
    plain = Rollout(strategy=Strategy.CANARY, stable="1234", split=Split(generation=1, weights=(("1234", 100),)))
    assert all(getattr(FULL, field.name) != getattr(plain, field.name) for field in fields(Rollout))
    assert through_the_status(FULL) == FULL
    assert through_the_status(plain) == plain


def walk(world: World, seed: int, steps: int) -> list[World]:
    """Return the worlds of a way at random, on which a quarter of the moves does not happen by itself."""
    choose, worlds = random.Random(seed), []
    for _ in range(steps):
        worlds.append(world)
        following = list(moves(world))
        is_usual = choose.random() < 0.75
        chosen = [after for _, after, by_itself in following if by_itself is is_usual]
        if not following:
            break
        world = choose.choice(chosen or [after for _, after, _ in following])
    return worlds


def test_decisions_from_what_is_read_are_those_from_what_was_written() -> None:
    phases = set()
    for seed in range(15):
        for world in walk(random_world(seed), seed, 60):
            if world.rollout is None:
                continue
            phases.add(world.rollout.phase)
            read = through_the_status(world.rollout)
            assert read == world.rollout
            assert decided(read, world.facts()) == decided(world.rollout, world.facts())
    assert len(phases) >= 8


@pytest.mark.parametrize(
    ("words", "enumeration"),
    [
        (StrategyWord, Strategy),
        (RolloutPhase, Phase),
        (GateVerdict, Verdict),
        (GateActionWord, GateAction),
        (RejectionWord, RejectionReason),
    ],
)
def test_each_word_of_the_status_is_one_of_the_decisions(words, enumeration) -> None:
    assert get_args(words) == tuple(member.value for member in enumeration)


@pytest.mark.parametrize(
    ("field", "expected"),
    [("phase", Phase.HELD), ("strategy", Strategy.CANARY)],
)
def test_a_word_of_a_later_release_lets_the_roll_out_wait_for_a_person(field: str, expected: str) -> None:
    wire = written(FULL).to_wire() | {field: "Teleporting"}
    assert getattr(remembered(RolloutStatus.from_wire(wire)), field) == expected


def test_a_sentence_that_is_too_long_is_cut() -> None:
    status = written(replace(FULL, why="x" * 5000))
    assert status.message is not None
    assert len(status.message) == 4096


def test_a_result_that_came_often_is_written_once() -> None:
    memory = GateMemory(gate="errors", step=1, results=(RESULT, *60 * (NOTHING,)))
    status = written_gate_memory(memory)
    assert [look.times for look in status.results or ()] == [None, 60]


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=0)
)


@st.composite
def results(draw: st.DrawFn) -> GateResult:
    """A result as a gate gives it: where there is an interval, its upper end may be infinite."""
    low = draw(NUMBERS)
    return GateResult(
        gate="errors",
        verdict=draw(st.sampled_from(Verdict)),
        harm=draw(NUMBERS),
        low=low,
        high=None if low is None else draw(st.floats(allow_nan=False, min_value=-1)),
        margin=draw(st.floats(0, 10)),
        canary=draw(NUMBERS),
        stable=draw(NUMBERS),
        sample=draw(st.integers(0, 2**53)),
        look=draw(st.integers(0, 100)),
        at_step_end=draw(st.booleans()),
        reason=draw(st.text(max_size=20)),
    )


@given(
    memory=st.builds(
        GateMemory,
        gate=st.just("errors"),
        step=st.integers(0, 33),
        look=st.integers(0, 500),
        started_at=st.sampled_from(["", "2026-11-29T10:00:00Z"]),
        base=st.none() | st.lists(st.integers(0, 2**53), max_size=44).map(tuple),
        results=st.lists(results(), max_size=4).map(lambda found: (*found, *found[-1:])),
        counted=TIMES,
        read_at=TIMES,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_gate_remembers_is_read_as_it_was_written(memory: GateMemory) -> None:
    wire = json.loads(json.dumps(written_gate_memory(memory).to_wire()))
    assert read_gate_memory(GateMemoryStatus.from_wire(wire)) == memory
