"""Worlds of the loop alone, for explorations: its stored memory, its job, its roll-out, people and the clock, and every move in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingStatus
from tuneloop_operator.decide.model_deployment.retraining.data_quality import FIT, GUARDED, DataQuality
from tuneloop_operator.decide.model_deployment.retraining.facts import (
    Champion,
    Facts,
    JobStage,
    LoopSpec,
    RolloutView,
    RunJob,
    Trial,
)
from tuneloop_operator.decide.model_deployment.retraining.loop import NextLoop, decide, offered
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered, written
from tuneloop_operator.decide.model_deployment.retraining.state import Artifact, BlockedReason, Loop
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator

START = datetime(2026, 1, 1, tzinfo=UTC)
COOLDOWN_HOURS = 10
SPEC = LoopSpec(
    is_enabled=True,
    is_suspended=False,
    is_dry=False,
    requires_new_data=True,
    cooldown=COOLDOWN_HOURS * 3600.0,
    backoff_factor=2.0,
    backoff_max=100 * 3600.0,
    most_runs=20,
    most_gpu_seconds=None,
    window=1000 * 3600.0,
)
_NEXT_TRIALS = {
    Trial.WAITING: (Trial.CANARY,),
    Trial.CANARY: (Trial.PROMOTING, Trial.REJECTED, Trial.WAITING),
    Trial.PROMOTING: (Trial.BAKING,),
    Trial.BAKING: (Trial.PROMOTED, Trial.REJECTED),
}


@dataclass(frozen=True)
class World:
    """One moment. All of it is what others can see; nothing is only in the operator's head."""

    status: str = "{}"
    """`status.retraining` as stored."""
    hours: int = 0
    token: int = 0
    """The newest request of a person; 0: none."""
    is_suspended: bool = False
    trigger: str = "manual"
    """Type of the trigger that fires on requests; one that judges data may find them broken."""
    is_broken: bool = False
    """Whether the data are broken."""
    model: int = 0
    """Number of the spec.model."""
    is_busy: bool = False
    """Whether a roll-out of the user's is under way."""
    job: str = ""
    """Name of the job that exists; empty: none does."""
    stage: JobStage = JobStage.TRAINING
    data: str = ""
    trial: Trial = Trial.WAITING
    champion: str = "first"
    """Digest of what serves."""
    created: tuple[str, ...] = ()
    """Names of all jobs that were created."""

    @property
    def loop(self) -> Loop:
        """The memory."""
        return remembered(RetrainingStatus.from_wire(json.loads(self.status)))

    @property
    def now(self) -> datetime:
        """The time."""
        return START + timedelta(hours=self.hours)


def facts_of(world: World) -> Facts:
    """Return what an operator sees."""
    loop = world.loop
    is_on_trial = offered(loop) is not None
    return Facts(
        spec=replace(SPEC, is_suspended=world.is_suspended),
        deployment_uid="u1",
        deployment_name="api",
        model=f"m{world.model}",
        verdicts=(_verdict(world),),
        data=DataQuality(problem="blank texts are 60%") if world.is_broken else FIT,
        champion=Champion(revision=world.champion, digest=world.champion),
        recipe="r1",
        job=_job(world) if loop.run is not None and world.job == loop.run.name else None,
        leftover=world.job if _is_leftover(world, loop) else "",
        rollout=RolloutView(
            trial=world.trial if is_on_trial else Trial.WAITING,
            busy=BlockedReason.ROLLOUT_IN_PROGRESS if world.is_busy else None,
            message="a roll-out",
        ),
        revision="new" if is_on_trial else "",
    )


def _is_leftover(world: World, loop: Loop) -> bool:
    """Whether the job of the last run that has ended still works."""
    ended = loop.history[-1].run.name if loop.history else ""
    return bool(ended) and world.job == ended and world.stage in {JobStage.TRAINING, JobStage.EVALUATING}


def _verdict(world: World) -> TriggerVerdict:
    """Return what a trigger says that fires on each request of a person."""
    return TriggerVerdict(
        name="manual",
        type=world.trigger,
        action="Retrain",
        state=TriggerState.FIRING if world.token else TriggerState.INACTIVE,
        reason="a person asks",
        value=None,
        threshold=None,
        since=START,
        key=f"t{world.token}" if world.token else "",
    )


def decided(world: World) -> NextLoop:
    """Return what an operator decides."""
    return decide(world.loop, facts_of(world), now=world.now)


def operated(world: World, *, is_killed: bool = False) -> World:
    """Return the world after a decision is written. is_killed: after the write of the status, before that of the job."""
    following = decided(world)
    wire = written(following.loop, SPEC, now=world.now).to_wire()
    after = replace(world, status=json.dumps(wire, sort_keys=True))
    if not is_killed and _is_leftover(world, after.loop):
        after = replace(after, job="")
    if not is_killed and following.create is not None and not world.job.startswith(following.create.name):
        name = following.create.name
        after = replace(after, job=name, stage=JobStage.TRAINING, data="", created=(*world.created, name))
    return after if offered(after.loop) is not None else replace(after, trial=Trial.WAITING)


def moves(world: World, *, requests: int = 2, most_hours: int = 3 * COOLDOWN_HOURS) -> Iterator[tuple[str, World]]:
    """Yield each thing that may happen, and the world after it. requests: of people at most; most_hours: that the clock goes on."""
    yield "operator", operated(world)
    yield "operator killed", operated(world, is_killed=True)
    if world.token < requests:
        yield "ask", replace(world, token=world.token + 1)
    if world.hours < most_hours:
        yield "wait", replace(world, hours=world.hours + COOLDOWN_HOURS)
    yield "suspend", replace(world, is_suspended=not world.is_suspended)
    if world.trigger in GUARDED:
        yield "data break, or are mended", replace(world, is_broken=not world.is_broken)
    if world.model == 0:
        yield "edit the model", replace(world, model=1)
    yield "roll-out of another edit", replace(world, is_busy=not world.is_busy)
    yield from _moves_of_the_job(world)
    if offered(world.loop) is not None:
        for trial in _NEXT_TRIALS.get(world.trial, ()):
            champion = f"of {world.job}" if trial in {Trial.BAKING, Trial.PROMOTED} else world.champion
            yield f"roll-out: {trial}", replace(world, trial=trial, champion=champion)


def _moves_of_the_job(world: World) -> Iterator[tuple[str, World]]:
    if not world.job:
        return
    yield "delete the job", replace(world, job="")
    if world.stage is JobStage.TRAINING and not world.data:
        yield "old data", replace(world, data="old")
        yield "new data", replace(world, data=world.job)
        yield "fail", replace(world, stage=JobStage.FAILED)
    if world.stage is JobStage.TRAINING and world.data:
        yield "export", replace(world, stage=JobStage.EVALUATING)
    if world.stage is JobStage.EVALUATING:
        yield "succeed", replace(world, stage=JobStage.SUCCEEDED)


def _job(world: World) -> RunJob:
    artifact = Artifact(job=world.job, uri=f"pvc://models/{world.job}", digest=f"of {world.job}")
    return RunJob(
        uid=f"uid of {world.job}",
        stage=world.stage,
        data_digest=world.data,
        artifact=artifact if world.stage is JobStage.SUCCEEDED else None,
    )
