"""What the loop remembers between two decisions. It is stored in the status; nothing else is needed to go on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict

MOST_RECORDS = 20


class LoopState(StrEnum):
    """Where the loop is."""

    IDLE = "Idle"
    SUSPECTED = "Suspected"
    """A trigger is about to fire."""
    CONFIRMED = "Confirmed"
    """A run is decided, and its job is not there yet."""
    BLOCKED = "Blocked"
    """A trigger fires, and no run may start."""
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    """The job measures and publishes its model, or the model waits until it can be rolled out."""
    CANARY = "Canary"
    PROMOTING = "Promoting"
    BAKING = "Baking"


class BlockedReason(StrEnum):
    """Why no run starts although a trigger fires."""

    SUSPENDED = "Suspended"
    TEMPLATE = "TemplateNotUsable"
    RUN_IN_FLIGHT = "RunInFlight"
    ROLLOUT_IN_PROGRESS = "RolloutInProgress"
    BAKING = "Baking"
    COOLDOWN = "Cooldown"
    NO_NEW_DATA = "NoNewData"
    """The last run found the data of an earlier one; after the cooldown the data are looked at again."""
    BUDGET = "Budget"
    DATA_QUALITY = "DataQuality"
    """What came in is broken, or the labels of one client contradict all others: nothing may be learned from it."""
    PARALLEL_RUNS = "ParallelRuns"
    """As many runs of other deployments are at work as the operator allows."""
    DRY_RUN = "DryRun"


class Outcome(StrEnum):
    """How a run ended."""

    PROMOTED = "Promoted"
    REJECTED = "Rejected"
    """By the comparison with the champion, or by its roll-out."""
    ROLLED_BACK = "RolledBack"
    """After the promotion."""
    FAILED = "Failed"
    NO_NEW_DATA = "NoNewData"
    SUPERSEDED = "Superseded"
    """A person changed spec.model, or removed spec.rollout, while the run was in flight."""
    DRY_RUN = "DryRun"
    """Nothing was started; this is what would have been."""


SETBACKS = frozenset({Outcome.REJECTED, Outcome.ROLLED_BACK, Outcome.FAILED})
"""Outcomes after which the next run waits longer."""
LEARNED = frozenset({Outcome.PROMOTED, Outcome.REJECTED, Outcome.ROLLED_BACK})
"""Outcomes of runs that learned all that their data hold: the same data teach nothing new."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A published model."""

    job: str
    uri: str
    digest: str
    size_bytes: int | None = None
    revision: str = ""
    """Of the model server that serves it, as the status last showed it; for people."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One retraining."""

    name: str
    """Of its FineTuneJob."""
    trigger: str
    key: str
    """Of the trigger, as in its verdict."""
    started: datetime
    """When it was decided; feedback counts up to here."""
    champion: str
    """Revision that was stable then."""
    champion_digest: str
    """Digest of its artifact."""
    recipe: str
    """Digest of all that the job's result depends on but its data, without its seed and the time up to which feedback counts."""
    job_uid: str = ""
    """Of its FineTuneJob; empty: not observed yet."""
    data_digest: str = ""
    """Digest of the prepared data; empty: not known yet."""
    gpu_seconds: float = 0.0
    challenger: Artifact | None = None
    """What it published, once that is rolled out."""
    is_promoted: bool = False
    """Whether its model is the stable one, and bakes."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run that has ended."""

    run: Run
    outcome: Outcome
    reason: str
    ended: datetime


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The memory of the loop."""

    state: LoopState = LoopState.IDLE
    blocked: BlockedReason | None = None
    why: str = ""
    """Why a retraining happens or does not, as one sentence."""
    next_eligible: datetime | None = None
    """When time alone lets a run start; None: now, or other things must happen first."""
    model: str = ""
    """Digest of spec.model, as the loop knows it."""
    choice: Artifact | None = None
    """What serves in place of spec.model; None: spec.model."""
    run: Run | None = None
    setbacks: int = 0
    """Outcomes in a row that make the next run wait longer."""
    handled: tuple[tuple[str, str], ...] = ()
    """Trigger and the newest key of it that a run has answered."""
    history: tuple[Record, ...] = ()
    """Oldest first."""
    totals: tuple[tuple[str, str, int], ...] = ()
    """Trigger, outcome and number of such runs."""
    last_success: datetime | None = None
    """When a model of the loop was last promoted."""
    triggers: tuple[TriggerVerdict, ...] = ()
    """Last verdict of each trigger."""
    trigger_memories: tuple[TriggerMemory, ...] = ()
    """What each trigger remembers."""
