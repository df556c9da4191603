"""The loop explored: every order of operator, kill, job, roll-out, people and clock, up to a bound."""

from __future__ import annotations

import random
from collections import Counter, deque
from datetime import timedelta

import pytest
from retraining_worlds import COOLDOWN_HOURS, SPEC, World, decided, moves, operated

from tuneloop_operator.decide.model_deployment.retraining.facts import JobStage
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered, written
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason, LoopState, Outcome

ENDED = {JobStage.SUCCEEDED, JobStage.FAILED}
RARE = {"delete the job", "fail", "suspend", "edit the model", "roll-out of another edit", "operator killed"}
COOLDOWN = timedelta(hours=COOLDOWN_HOURS)


def check(before: World, move: str, world: World) -> None:
    """Check what must hold after every move."""
    loop, earlier = world.loop, before.loop
    names = [record.run.name for record in loop.history] + ([loop.run.name] if loop.run else [])
    assert len(names) == len(set(names)), f"a run is twice in the history: {names}"
    for name in world.created[len(before.created) :]:
        # a job that was deleted before anybody noted its uid looks like a lost creation
        is_noted = earlier.run is not None and earlier.run.name == name and earlier.run.job_uid
        assert not is_noted, "a job was created a second time"
        assert not before.job or before.stage in ENDED, f"two jobs at once: {before.job}, {name}"
        assert name not in {record.run.name for record in earlier.history}, "a run began a second time"
    assert set(world.created) <= set(names), "a job of no run"
    keys = [record.run.key for record in loop.history] + ([loop.run.key] if loop.run else [])
    assert len(keys) == len(set(keys)), f"one request started two runs: {keys}"
    assert loop.history[: len(earlier.history)] == earlier.history, "the history was rewritten"
    if loop.run is not None and (earlier.run is None or earlier.run.name != loop.run.name):
        assert earlier.run is None, "two runs in one decision"
        assert not before.is_suspended, "a run started while suspended"
        assert not before.is_busy, "a run started in a roll-out"
        assert not before.is_broken, "a run started on broken data"
        assert earlier.blocked is not BlockedReason.DATA_QUALITY, "what fired on broken data started a run"
        if earlier.history:
            assert loop.run.started - earlier.history[-1].ended >= COOLDOWN, "no pause after a run"
    taught = Counter(
        (record.run.data_digest, record.run.champion_digest)
        for record in loop.history
        if record.outcome in {Outcome.REJECTED, Outcome.ROLLED_BACK, Outcome.PROMOTED}
    )
    assert not taught or max(taught.values()) == 1, f"the same data taught the same champion twice: {taught}"
    if earlier.model and loop.model != earlier.model:
        assert loop.choice is None, "the user's word did not win"
        assert earlier.run is None or loop.run is None, "a run goes on for a model that nobody wants any more"


def check_rest(world: World) -> None:
    """Check that the decision on its own result is that result: three follow one another where a job goes, another one is created, and it is there."""
    settled = operated(operated(operated(world)))
    following = decided(settled)
    assert written(following.loop, SPEC, now=settled.now) == written(settled.loop, SPEC, now=settled.now)
    assert remembered(written(following.loop, SPEC, now=settled.now)) == settled.loop


def explored(start: World, most: int) -> Counter[str]:
    """Go all ways from a world, the nearest worlds first; return how often each state, and each reason of a block, was met."""
    known, open_, met = {start}, deque([start]), Counter[str]()
    while open_ and len(known) < most:
        world = open_.popleft()
        for move, after in moves(world):
            if after in known:
                continue
            check(world, move, after)
            known.add(after)
            open_.append(after)
            met[after.loop.state.value] += 1
            met[after.loop.blocked.value if after.loop.blocked else ""] += 1
        check_rest(world)
    return met


@pytest.mark.parametrize("most", [4_000, pytest.param(300_000, marks=pytest.mark.full)])
def test_every_order_of_what_may_happen(most: int) -> None:
    met = explored(World(), most)
    assert {LoopState.CONFIRMED, LoopState.TRAINING, LoopState.EVALUATING, LoopState.BLOCKED} <= set(met)


@pytest.mark.parametrize("most", [2_000, pytest.param(300_000, marks=pytest.mark.full)])
def test_every_order_of_what_may_happen_to_a_trigger_that_judges_data(most: int) -> None:
    met = explored(World(trigger="accuracy"), most)
    assert {LoopState.TRAINING, LoopState.BLOCKED, BlockedReason.DATA_QUALITY} <= set(met)


@pytest.mark.parametrize(
    "seeds", [range(25), pytest.param(range(25, 5_000), marks=pytest.mark.full)], ids=["few", "many"]
)
def test_long_ways_at_random_lead_to_one_run_after_another(seeds: range) -> None:
    met: Counter[str] = Counter()
    for seed in seeds:
        chance, world = random.Random(seed), World()
        way = []
        for _ in range(120):
            # the operator comes by as often as all the rest
            options = [*moves(world, requests=9, most_hours=10_000)]
            common = [option for option in options if option[0] not in RARE]
            move, after = chance.choice([*options, *6 * common, *[options[0]] * 6 * len(common)])
            way.append(move)
            try:
                check(world, move, after)
            except AssertionError as error:
                raise AssertionError(f"way {seed}: {way}: {error}") from error
            world = after
        met.update(record.outcome.value for record in world.loop.history)
    assert set(met) >= {"Promoted", "Rejected", "RolledBack", "Failed", "NoNewData", "Superseded"}, met
