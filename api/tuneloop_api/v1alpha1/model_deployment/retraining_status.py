"""`status.retraining` of a ModelDeployment: where the loop is, why a run starts or does not, and what the operator must remember to go on.

It is the operator's only memory of the loop. Times are RFC 3339 in UTC, whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tuneloop_api.v1alpha1.common import LongText, Opaque, ShortText
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RevisionName, Time
from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerStateWord
from tuneloop_api.wire.model import MessageModel, Open

RetrainingState: TypeAlias = Literal[
    "Idle", "Suspected", "Confirmed", "Blocked", "Training", "Evaluating", "Canary", "Promoting", "Baking"
]
RetrainingBlock: TypeAlias = Literal[
    "Suspended", "TemplateNotUsable", "RunInFlight", "RolloutInProgress", "Baking", "Cooldown", "NoNewData", "Budget", "DataQuality",
    "ParallelRuns", "DryRun",
]  # fmt: skip
RetrainingOutcome: TypeAlias = Literal[
    "Promoted", "Rejected", "RolledBack", "Failed", "NoNewData", "Superseded", "DryRun"
]
MOST_TRIGGERS = 17
"""Those of the spec and the annotation."""


class ChosenArtifact(MessageModel):
    """A model that a run has published."""

    job: ShortText
    """Name of its FineTuneJob."""
    uri: LongText
    """Folder of the artifact, as `pvc://CLAIM/PATH`."""
    digest: ShortText
    """SHA-256 of its manifest, as `sha256:…`."""
    size_bytes: int | None = None
    """Of all its files, in bytes."""
    revision: RevisionName | None = None
    """Revision that serves it, as in `status.revisions`."""


class RetrainingRun(MessageModel):
    """One run."""

    job: ShortText
    """Name of its FineTuneJob."""
    job_uid: ShortText | None = None
    """Uid of that job, once observed; another one of the name is not this run's."""
    trigger: ShortText
    """Trigger that asked for it."""
    key: ShortText | None = None
    """What the trigger fired on; the same starts no second run."""
    started_at: Time
    """When it was decided; feedback counts up to here."""
    champion: RevisionName
    """Revision that served then."""
    champion_digest: LongText
    """Digest of its model, or the address where none is known."""
    recipe: ShortText
    """Digest of all that the job's result depends on but its data and its seed."""
    data_digest: ShortText | None = None
    """SHA-256 of the prepared data, once known."""
    gpu_seconds: float | None = None
    """Seconds of GPUs that its pods held."""
    challenger: ChosenArtifact | None = None
    """Its model, once that is rolled out."""
    promoted: bool | None = None
    """Whether its model was promoted."""
    outcome: Annotated[RetrainingOutcome | None, Open("Failed")] = None
    """Promoted, Rejected, RolledBack, Failed, NoNewData, Superseded or DryRun. Absent: it is in flight."""
    reason: LongText | None = None
    """Why it ended so."""
    ended_at: Time | None = None
    """When the loop noted its end."""


class TriggerStatus(MessageModel):
    """What one trigger last found."""

    name: ShortText
    """Name that the spec gives it; `manual` is the annotation's."""
    type: ShortText
    """Its type, for example `manual`."""
    action: ShortText
    """What it asks for: Retrain or Alert."""
    state: Annotated[TriggerStateWord, Open("Unknown")]
    """Inactive, Pending, Firing or Unknown; without data it is Unknown, and never fires."""
    value: float | None = None
    """What it measured. Absent: it measures nothing, or has no data."""
    threshold: float | None = None
    """What the value is compared with."""
    since: Time
    """When this state began."""
    reason: LongText
    """The numbers as a sentence."""
    key: ShortText | None = None
    """What it judged, as a hash or a token."""
    answered: ShortText | None = None
    """The newest key of it that a run has answered."""


class RetrainingTotal(MessageModel):
    """How many runs of a trigger ended in this way."""

    trigger: ShortText
    """Name, as in `history`."""
    outcome: ShortText
    """As in `history`."""
    count: int
    """Number of runs, also of those that the history does not hold any more."""


class BudgetStatus(MessageModel):
    """What the window still allows."""

    runs: int
    """Number of runs that may still start."""
    gpu_seconds: float | None = None
    """Seconds of GPUs that runs may still use. Absent: any."""


class RetrainingStatus(MessageModel):
    """Where the loop is."""

    state: Annotated[RetrainingState, Open("Blocked")] = "Idle"
    """Idle, Suspected, Confirmed, Blocked, Training, Evaluating, Canary, Promoting or Baking."""
    blocked_reason: Annotated[RetrainingBlock | None, Open(None)] = None
    """Why no run starts although a trigger fires, as one word."""
    message: LongText | None = None
    """Why a retraining happens or does not, as one sentence."""
    next_eligible_time: Time | None = None
    """When time alone lets the next run start. Absent: now, or other things must happen first."""
    budget: BudgetStatus | None = None
    """What the window of `spec.retraining.budget` still allows."""
    model: ShortText | None = None
    """Digest of `spec.model` as the loop last knew it. A change drops `choice`: the user's word wins."""
    choice: ChosenArtifact | None = None
    """The model that serves in place of `spec.model`, since a run was promoted."""
    setbacks: int | None = None
    """Number of runs in a row that failed, were rejected or were rolled back."""
    triggers: Annotated[list[TriggerStatus] | None, Field(max_length=MOST_TRIGGERS)] = None
    """What each trigger last found."""
    trigger_memory: Annotated[list[Opaque] | None, Field(max_length=MOST_TRIGGERS)] = None
    """What the operator must remember of each trigger, as it writes and reads it."""
    history: Annotated[list[RetrainingRun] | None, Field(max_length=21)] = None
    """The last 20 runs, oldest first, and the run in flight, which has no outcome."""
    totals: Annotated[list[RetrainingTotal] | None, Field(max_length=64)] = None
    """Number of runs by trigger and outcome."""
    last_success_time: Time | None = None
    """When a model of the loop was last promoted."""
