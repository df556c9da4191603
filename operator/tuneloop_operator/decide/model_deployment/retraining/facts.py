"""What the loop depends on: the spec with its defaults, the triggers, the job of its run, the roll-out, the champion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.data_quality import FIT, DataQuality

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.retraining.state import Artifact, BlockedReason
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict


@dataclass(frozen=True, kw_only=True)
class LoopSpec:
    """`spec.retraining` with its defaults. Times are seconds."""

    is_enabled: bool
    is_suspended: bool
    is_dry: bool
    requires_new_data: bool
    cooldown: float
    backoff_factor: float
    backoff_max: float
    most_runs: int
    """In `window`."""
    most_gpu_seconds: float | None
    """In `window`; None: any."""
    window: float


class JobStage(StrEnum):
    """How far the job of a run is."""

    TRAINING = "Training"
    """Also while it waits, and while it prepares its data."""
    EVALUATING = "Evaluating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the job found about its model and the champion."""

    is_better: bool
    message: str


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """The FineTuneJob of the run, as it was observed."""

    uid: str
    stage: JobStage
    data_digest: str = ""
    """Of the prepared data; empty: not known yet."""
    gpu_seconds: float = 0.0
    artifact: Artifact | None = None
    """Of a job that has succeeded."""
    comparison: Comparison | None = None
    """None: it compared nothing, and the roll-out alone decides."""
    message: str = ""
    """Why it failed, in one sentence."""


class Trial(StrEnum):
    """What the roll-out makes of the model of the run."""

    WAITING = "Waiting"
    """It was not taken up yet."""
    CANARY = "Canary"
    PROMOTING = "Promoting"
    BAKING = "Baking"
    PROMOTED = "Promoted"
    REJECTED = "Rejected"


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """The roll-out as the loop sees it."""

    trial: Trial = Trial.WAITING
    """Of the model of the run."""
    message: str = ""
    """Where it is, or why the model was rejected."""
    busy: BlockedReason | None = None
    """Why no other model can be rolled out now, with `message`; None: one can."""
    taken_back: tuple[str, ...] = ()
    """Revisions that a person, a gate or servers that fail have brought down. An aborted roll-out, and servers that were not ready in time, say nothing of the model."""
    is_possible: bool = True
    """Whether there are roll-outs at all; without `spec.rollout` a new model takes over unjudged."""


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What serves."""

    revision: str
    digest: str
    """Of its artifact; its address where no digest is known."""
    data_digest: str = ""
    """Of the data that it learned from by the template; empty: not known."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a decision depends on beside the memory and the time."""

    spec: LoopSpec
    deployment_uid: str
    deployment_name: str
    model: str
    """Digest of spec.model without its pin."""
    verdicts: tuple[TriggerVerdict, ...]
    trigger_memories: tuple[TriggerMemory, ...] = ()
    """What each trigger remembers from now on."""
    champion: Champion | None
    """None: nothing serves yet."""
    recipe: str
    """As in `Run`, of a run that would start now."""
    data: DataQuality = FIT
    """Whether inputs and labels are fit to be learned from."""
    template_problem: str = ""
    """Why no job can be made of the template; empty: one can."""
    runs_elsewhere: int = 0
    """Runs of other deployments whose jobs are at work."""
    most_parallel_runs: int | None = None
    """Of all deployments of the operator; None: any."""
    refusal: str = ""
    """Why the job of the run in flight cannot be created; empty: nobody refused it."""
    job: RunJob | None = None
    """The job of the run in flight; None: there is no such job."""
    leftover: str = ""
    """Name of the job of the last run that has ended, while it still works; empty: there is none. It is deleted."""
    rollout: RolloutView = RolloutView()
    revision: str = ""
    """That serves the model of the run, under the spec of now; empty: not known."""
