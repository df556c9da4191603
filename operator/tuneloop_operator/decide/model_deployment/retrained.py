"""The loop of retraining, joined to what a ModelDeployment serves: its memory comes first, then the model that it offers, then its job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.printable import printable_values
from tuneloop_operator.decide.model_deployment import rolled
from tuneloop_operator.decide.model_deployment.retraining.loop import decide
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered, written
from tuneloop_operator.decide.model_deployment.retraining.state import Loop
from tuneloop_operator.decide.model_deployment.retraining.stories import events_between
from tuneloop_operator.decide.model_deployment.retraining.storm import gpu_seconds_left
from tuneloop_operator.decide.model_deployment.retraining_facts import (
    facts_of,
    leftover_job,
    loop_spec,
    run_job,
    template_of,
)
from tuneloop_operator.decide.model_deployment.retraining_triggers import look_again
from tuneloop_operator.desired.model_deployment.retraining_job import RunOrder, retraining_job
from tuneloop_operator.state.conditions import stamp
from tuneloop_operator.status.model_deployment.retraining import with_retraining_conditions

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.decision import Decision, Deletion, Event
    from tuneloop_operator.decide.model_deployment.retraining.state import Run
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


@dataclass(frozen=True, kw_only=True)
class Looped:
    """A ModelDeployment with the memory of the loop as it is from now on, and what else the loop writes."""

    observed: ObservedDeployment
    """With the new memory in its status; from there the model that is offered is read."""
    is_changed: bool = False
    """Whether that memory differs from the stored one."""
    create: tuple[Manifest, ...] = ()
    delete: tuple[Deletion, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None


def misses_its_job(observed: ObservedDeployment) -> bool:
    """Whether the job of the run in flight was there, and is not known now. A watch may be late, as after a change of the leader: it is read before the run is given up."""
    status = observed.deployment.status
    if observed.live or observed.blocker is not None or status is None or status.retraining is None:
        return False
    run = remembered(status.retraining).run
    return run is not None and bool(run.job_uid) and run.challenger is None and run_job(observed, run.name) is None


def looped(observed: ObservedDeployment, *, now: datetime, settings: OperatorSettings) -> Looped:
    """Return what the loop makes of a deployment; the deployment as it is, if it never retrained."""
    deployment = observed.deployment
    status = deployment.status or ModelDeploymentStatus()
    if deployment.spec.retraining is None and status.retraining is None:
        return Looped(observed=observed)
    before = remembered(status.retraining) if status.retraining else Loop()
    facts = facts_of(observed, before, rolled.memory_of(observed), now=now, settings=settings)
    following = decide(before, facts, now=now)
    memory = written(following.loop, facts.spec, now=now)
    conditions = with_retraining_conditions(status.conditions, memory, now=now)
    after = changed(status, retraining=memory, conditions=conditions or None)
    run = following.create
    return Looped(
        observed=replace(observed, deployment=changed(deployment, status=after)),
        is_changed=after.to_wire() != status.to_wire(),
        create=_job(observed, following.loop, run, now=now) if run else (),
        delete=(leftover,) if (leftover := leftover_job(observed, following.loop)) else (),
        events=events_between(before, following.loop),
        requeue_after=_sooner(following.requeue_after, look_again(deployment, now=now)),
    )


def joined(decision: Decision, loop: Looped) -> Decision:
    """Return a decision about the servers with what the loop writes."""
    if decision.needs is not None or not (loop.is_changed or loop.create or loop.delete or loop.requeue_after):
        return decision
    status = decision.status
    if status is None and loop.is_changed and loop.observed.deployment.status is not None:
        status = printable_values(loop.observed.deployment.status.to_wire())
    is_blocked = loop.observed.blocker is not None
    return replace(
        decision,
        status=status,
        progress_only=decision.progress_only and not loop.is_changed,
        create=decision.create if is_blocked else (*decision.create, *loop.create),
        delete=decision.delete if is_blocked else (*decision.delete, *loop.delete),
        events=(*loop.events, *decision.events),
        requeue_after=_sooner(decision.requeue_after, loop.requeue_after),
    )


def _sooner(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _job(observed: ObservedDeployment, loop: Loop, run: Run, *, now: datetime) -> tuple[Manifest, ...]:
    template, status = template_of(observed), observed.deployment.status
    if not isinstance(template, FineTuneJob) or status is None or status.stable is None:
        return ()
    left = gpu_seconds_left(loop, loop_spec(observed.deployment), now=now)
    order = RunOrder(
        name=run.name,
        trigger=run.trigger,
        champion_revision=run.champion,
        champion_uri=status.stable.uri,
        champion_digest=status.stable.digest or None,
        cutoff=stamp(run.started),
        gpu_hours=None if left is None else left / 3600.0,
    )
    return (retraining_job(observed.deployment, template, order),)
