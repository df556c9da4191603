"""What to do next in the loop: the memory, the facts and the time in, the memory and what to write out. The same input gives the same output.

Whoever calls writes the memory first, then creates or deletes the job. Both follow from the memory, so that it does not matter after which
write the operator is killed: a run that stands in the memory has one job, by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.decide.model_deployment.retraining.data_quality import MEASURES
from tuneloop_operator.decide.model_deployment.retraining.facts import Trial
from tuneloop_operator.decide.model_deployment.retraining.run_end import ended
from tuneloop_operator.decide.model_deployment.retraining.run_in_flight import advanced
from tuneloop_operator.decide.model_deployment.retraining.state import (
    BlockedReason,
    Loop,
    LoopState,
    Outcome,
    Run,
)
from tuneloop_operator.decide.model_deployment.retraining.storm import (
    block_of,
    eligible_at,
    unanswered,
    usable,
)
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import anew
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.facts import Champion, Facts
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict

_LOOK_AGAIN_SECONDS = 30.0
_MOST_TRANSITIONS = 16
"""In one decision. The longest way has five."""


@dataclass(frozen=True, kw_only=True)
class NextLoop:
    """What follows."""

    loop: Loop
    create: Run | None = None
    """The run whose job is to be there."""
    requeue_after: float | None = None
    """Seconds after which to decide again even if nothing changes."""


def decide(loop: Loop, facts: Facts, *, now: datetime) -> NextLoop:
    """Return what follows from the memory and the facts."""
    loop = replace(loop, triggers=facts.verdicts, trigger_memories=facts.trigger_memories)
    after = _without_taken_back(_of_this_model(loop, facts, now=now), facts)
    for _ in range(_MOST_TRANSITIONS):
        before = after
        after = advanced(after, facts, now=now) if after.run else _without_run(after, facts, now=now)
        if after == before:
            break
        if after.run != before.run:
            # what was observed belongs to the run before
            facts = _of_another_run(facts, is_same_run=bool(after.run and before.run))
    is_missing = after.run is not None and after.state is LoopState.CONFIRMED
    return NextLoop(
        loop=after,
        create=after.run if is_missing else None,
        requeue_after=_requeue_after(after, now=now),
    )


def offered(loop: Loop) -> Run | None:
    """Return the run whose model is on trial; None: none is."""
    return loop.run if loop.run is not None and loop.run.challenger is not None else None


def _of_another_run(facts: Facts, *, is_same_run: bool) -> Facts:
    if is_same_run:
        return facts
    rollout = replace(facts.rollout, trial=Trial.WAITING)
    return replace(facts, job=None, rollout=rollout, revision="")


def _of_this_model(loop: Loop, facts: Facts, *, now: datetime) -> Loop:
    """Return the memory after an edit of spec.model: the user's word wins, and what the loop chose or was about to choose is dropped."""
    if loop.model == facts.model:
        return loop
    known = replace(loop, model=facts.model, choice=None)
    if loop.run is None or not loop.model:
        return known
    return ended(known, Outcome.SUPERSEDED, "spec.model was changed", now=now)


def _without_taken_back(loop: Loop, facts: Facts) -> Loop:
    """Return the memory after the model of a past run was taken back: what serves again is the choice, or spec.model if no run made it."""
    choice, champion = loop.choice, facts.champion
    if choice is None or champion is None or choice.revision not in facts.rollout.taken_back:
        return loop
    challengers = (record.run.challenger for record in reversed(loop.history))
    return replace(
        loop, choice=next((found for found in challengers if found and found.digest == champion.digest), None)
    )


def _without_run(loop: Loop, facts: Facts, *, now: datetime) -> Loop:
    spec = facts.spec
    until = eligible_at(loop, spec)
    loop = replace(loop, next_eligible=until if until is not None and until > now else None)
    if not spec.is_enabled:
        return _resting(loop, LoopState.IDLE, "spec.retraining.enabled is not true")
    loop = _without_broken_evidence(loop, facts)
    firing = unanswered(loop, facts.verdicts)
    if not firing:
        return _quiet(loop, facts)
    block = block_of(loop, facts, now=now)
    if block is not None:
        why = f"{firing[0].name} fires: {firing[0].reason}; blocked: {block.why}"
        why += f"; until {stamp(block.until)}" if block.until else ""
        loop = replace(loop, next_eligible=block.until or loop.next_eligible)
        return _resting(loop, LoopState.BLOCKED, why, blocked=block.reason)
    if facts.champion is None:
        raise AssertionError("without a champion no run starts")
    chosen = next(iter(usable(firing, facts)), None)
    if chosen is None:
        why = f"{firing[0].name} fires, and whether its data are fit is not known yet: {facts.data.unknown}"
        return _resting(loop, LoopState.SUSPECTED, why)
    run = _new_run(chosen, facts, facts.champion, now=now)
    loop = replace(loop, handled=_handled(loop, firing, facts))
    if spec.is_dry:
        return ended(replace(loop, run=run), Outcome.DRY_RUN, f"{run.trigger} fires: {chosen.reason}", now=now)
    why = f"{run.trigger} fires: {chosen.reason}; FineTuneJob {run.name} is created"
    return _resting(replace(loop, run=run), LoopState.CONFIRMED, why)


def _without_broken_evidence(loop: Loop, facts: Facts) -> Loop:
    """Return the memory once broken data are fit again, or nothing fires on them: what was measured until now were those data, and what is measured from now on counts."""
    if loop.blocked is not BlockedReason.DATA_QUALITY or not facts.data.is_fit:
        return loop
    firing = unanswered(loop, facts.verdicts)
    # a trigger without numbers, as while Prometheus is away, fires on the old ones once it has new ones
    void = {
        verdict.name
        for verdict in facts.verdicts
        if verdict.type in MEASURES and (verdict in firing or verdict.state is not TriggerState.FIRING)
    }
    memories = tuple(anew(memory) if memory.name in void else memory for memory in loop.trigger_memories)
    answered = tuple(verdict for verdict in firing if verdict.name in void)
    return replace(loop, handled=_handled(loop, answered, facts), trigger_memories=memories)


def _quiet(loop: Loop, facts: Facts) -> Loop:
    """Return the memory while no trigger asks for a run that was not answered."""
    pending = next((found for found in facts.verdicts if found.state is TriggerState.PENDING), None)
    if pending is not None:
        return _resting(loop, LoopState.SUSPECTED, f"{pending.name} is about to fire: {pending.reason}")
    last = loop.history[-1] if loop.history else None
    if facts.spec.is_dry and last is not None and last.outcome is Outcome.DRY_RUN:
        why = f"spec.retraining.dryRun: run {last.run.name} would have started at {stamp(last.ended)}; {last.reason}"
        return _resting(loop, LoopState.BLOCKED, why, blocked=BlockedReason.DRY_RUN)
    alert = next((found for found in facts.verdicts if found.state is TriggerState.FIRING), None)
    if alert is None:
        return _resting(loop, LoopState.IDLE, "no trigger fires")
    is_for_people = alert.action != "Retrain"
    answered = "it only alerts" if is_for_people else "a run has answered it, or its data were broken"
    return _resting(loop, LoopState.IDLE, f"{alert.name} fires, {answered}")


def _resting(loop: Loop, state: LoopState, why: str, *, blocked: BlockedReason | None = None) -> Loop:
    return replace(loop, state=state, blocked=blocked, why=why)


def _new_run(trigger: TriggerVerdict, facts: Facts, champion: Champion, *, now: datetime) -> Run:
    started = now.replace(microsecond=0)
    identity = [facts.deployment_uid, trigger.name, trigger.key, champion.digest, stamp(started)]
    return Run(
        name=f"{facts.deployment_name}-{digest_of(identity)[:8]}",
        trigger=trigger.name,
        key=trigger.key,
        started=started,
        champion=champion.revision,
        champion_digest=champion.digest,
        recipe=facts.recipe,
    )


def _handled(loop: Loop, firing: tuple[TriggerVerdict, ...], facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return the newest answered key of each trigger. One run answers all triggers that fire now; triggers that are gone are forgotten."""
    names = {verdict.name for verdict in facts.verdicts}
    kept = {name: key for name, key in loop.handled if name in names}
    return tuple((kept | {verdict.name: verdict.key for verdict in firing}).items())


def _requeue_after(loop: Loop, *, now: datetime) -> float | None:
    """Return the seconds until time alone lets a run start, or until to look again for what no change of this object shows."""
    if loop.blocked is BlockedReason.PARALLEL_RUNS:
        return _LOOK_AGAIN_SECONDS
    if loop.state is not LoopState.BLOCKED or loop.next_eligible is None:
        return None
    return max(0.0, (loop.next_eligible - now).total_seconds()) + 1.0
