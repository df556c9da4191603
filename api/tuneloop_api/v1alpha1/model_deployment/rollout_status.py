"""`status.rollout` of a ModelDeployment: where the roll-out is, what it has found, and what the operator must remember to go on.

It is the operator's only memory of a roll-out. Times are RFC 3339 in UTC, whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from tuneloop_api.v1alpha1.common import LongText, ShortText
from tuneloop_api.wire.model import MessageModel, Open

Strategy: TypeAlias = Literal["Canary", "BlueGreen", "Shadow", "Recreate"]
RolloutPhase: TypeAlias = Literal[
    "Starting", "Progressing", "Paused", "Held", "Promoting", "RollingBack", "Reverting", "Baking", "Done", "Aborted", "RolledBack",
]  # fmt: skip
GateVerdict: TypeAlias = Literal["Pass", "Fail", "Inconclusive", "NoData", "Error"]
GateActionWord: TypeAlias = Literal["Advance", "Hold", "RollBack", "GiveUp"]
RejectionWord: TypeAlias = Literal["GateFailed", "Broken", "NeverReady", "Aborted", "RolledBack"]
MOST_REASON_CHARACTERS = 512
GateReason: TypeAlias = Annotated[str, StringConstraints(max_length=MOST_REASON_CHARACTERS)]
"""Short, for many stand in one status, which the API server takes up to 3 MiB."""
RevisionName: TypeAlias = ShortText
Time: TypeAlias = ShortText


class RevisionWeight(MessageModel):
    """The share of one revision."""

    revision: RevisionName
    """Hash of artifact and settings, as in `status.stable.revision`."""
    weight: int
    """Percentage of the requests that it gets, 1 to 100."""


class SplitStatus(MessageModel):
    """How the routers are to divide the requests."""

    generation: int
    """Number of this split. It only grows."""
    weights: Annotated[list[RevisionWeight], Field(max_length=4)]
    """Shares of the revisions, the newest revision first; those that get nothing are left out."""
    shadow: int | None = None
    """Percentage of requests that are copied to the comparator. Absent: none."""
    settings: ShortText | None = None
    """Digest of what routers are told beside the shares. Absent: nothing."""


class RouterStatus(MessageModel):
    """What one router follows."""

    name: ShortText
    """Name of its pod; `service` where the Service itself leads to one revision."""
    generation: int | None = None
    """Generation of the split that it follows, as it last reported."""
    refused: int | None = None
    """Generation of a split that it does not take."""
    reason: LongText | None = None
    """Why it does not take that split."""


class GateStatus(MessageModel):
    """What one gate has found in the current step."""

    name: ShortText
    """Name of the gate in the spec, or of a built-in gate."""
    verdict: Annotated[GateVerdict, Open("Error")]
    """Pass, Fail, Inconclusive (the numbers do not decide), NoData or Error."""
    action: Annotated[GateActionWord, Open("Hold")]
    """What the verdict asks for, once the limits of the spec are applied."""
    reason: LongText
    """The numbers behind the verdict."""


class GateLookStatus(MessageModel):
    """One result that a gate has had in this step."""

    verdict: Annotated[GateVerdict, Open("Error")]
    """Pass, Fail, Inconclusive, NoData or Error."""
    look: int
    """Number of the look in the roll-out, counted from 1; of NoData and Error, that of the look before."""
    at_step_end: bool | None = None
    """Whether Pass could be given and Inconclusive counts."""
    margin: float
    """How much worse the canary may be, in the unit of the gate."""
    sample: int | None = None
    """Number of requests or rows that were judged."""
    harm: float | None = None
    """Estimate of canary minus stable; positive is worse. Absent: there were no numbers."""
    low: float | None = None
    """Lower limit of the harm. Absent: there is none."""
    high: float | None = None
    """Upper limit of the harm. Absent: there is none."""
    canary: float | None = None
    """What was measured of the canary."""
    stable: float | None = None
    """What was measured of the stable revision. Absent: it was not asked."""
    reason: GateReason
    """The numbers as a sentence."""
    times: int | None = None
    """Number of times that this result came in a row. Absent: once."""


class GateMemoryStatus(MessageModel):
    """What the operator must remember of a gate, so that no look is taken twice."""

    gate: ShortText
    """Name of the gate in the spec."""
    step: int | None = None
    """The tested step that the results belong to, counted from 1. Absent: none yet."""
    look: int | None = None
    """Number of the last look that was taken in this roll-out. Absent: none yet."""
    counts_started_at: Time | None = None
    """When the counts began that were last read. Absent: none were read."""
    base: Annotated[list[int] | None, Field(max_length=64)] = None
    """The counts of this gate when the step began; empty for zero. Absent: they were not read yet."""
    results: Annotated[list[GateLookStatus] | None, Field(max_length=128)] = None
    """Results in this step, oldest first."""
    counted_at: Time | None = None
    """When NoData or Error last counted."""
    read_at: Time | None = None
    """When the newest number of a query was asked for that counted."""


class RolloutEnding(MessageModel):
    """How a roll-back ends once it is in force."""

    phase: Annotated[RolloutPhase, Open("RolledBack")]
    """Where the roll-out is after that: Done, Aborted or RolledBack."""
    reason: Annotated[RejectionWord | None, Open("GateFailed")] = None
    """Why the revision is not offered again. Absent: it is."""
    failure: ShortText | None = None
    """Class of the failure of its servers, as in `status.failure.class`. Absent: they came up."""
    message: LongText
    """Why, as a sentence."""


class RejectedRevision(MessageModel):
    """A revision that is not offered again by itself."""

    revision: RevisionName
    """Hash of artifact and settings, as in `status.revisions`."""
    reason: Annotated[RejectionWord, Open("GateFailed")]
    """Why, as one word; of one whose servers fail Broken or NeverReady, and `failure` says what failed."""
    failure: ShortText | None = None
    """Class of the failure of its servers, as in `status.failure.class`. Absent: they came up."""
    message: LongText
    """Why, as a sentence."""
    time: Time
    """When it was rejected."""
    spec_digest: ShortText
    """Digest of the spec that it was rejected under. Under another spec it is offered again."""


class RolloutEvent(MessageModel):
    """An Event about the roll-out."""

    type: Annotated[Literal["Normal", "Warning"], Open("Normal")]
    """Normal or Warning."""
    reason: ShortText
    """What happened, as one word."""
    message: LongText
    """The same as a sentence."""
    time: Time
    """When it was decided."""


class RolloutStatus(MessageModel):
    """Where the roll-out is."""

    strategy: Annotated[Strategy, Open("Canary")]
    """Strategy of this roll-out."""
    phase: Annotated[RolloutPhase, Open("Held")] = "Done"
    """Where it is: Starting, Progressing, Paused, Held, Promoting, RollingBack, Reverting, Baking, Done, Aborted or RolledBack."""
    message: LongText | None = None
    """What it waits for, or how the last roll-out ended."""
    stable: RevisionName
    """Revision that takes over where another one fails."""
    canary: RevisionName | None = None
    """Revision that is on its way."""
    share: ShortText | None = None
    """That revision with its percentage of the requests, for people: `7d1f0b2c 25%`."""
    previous: RevisionName | None = None
    """Revision before the promoted one, as long as a roll-back may use it."""
    step: int = 1
    """Which step of the strategy the roll-out has reached, counted from 1."""
    split: SplitStatus
    """How requests are to be divided."""
    earlier_splits: Annotated[list[SplitStatus] | None, Field(max_length=8)] = None
    """Older splits that some router may still follow."""
    routers: Annotated[list[RouterStatus] | None, Field(max_length=16)] = None
    """What each router follows."""
    requests: int | None = None
    """Requests that count for this step."""
    gates: Annotated[list[GateStatus] | None, Field(max_length=32)] = None
    """What each gate has found in this step."""
    gate_memory: Annotated[list[GateMemoryStatus] | None, Field(max_length=16)] = None
    """What the operator must remember of each gate."""
    replayed_before: int | None = None
    """Golden requests that had been replayed when this step began. Absent: they were not counted yet."""
    started_at: Time | None = None
    """When the servers of the canary began to start."""
    step_started_at: Time | None = None
    """When the split of this step was in force on every router."""
    promoted_at: Time | None = None
    """When the stable revision was promoted."""
    has_served: bool | None = None
    """Whether the stable revision has ever answered requests."""
    replays: bool | None = None
    """Whether golden requests are to be replayed."""
    outages: int | None = None
    """Number of times that the canary lost all its servers while it carried requests."""
    approved_steps: Annotated[list[int] | None, Field(max_length=64)] = None
    """Steps, from 1, whose pause a person has approved."""
    approved: bool | None = None
    """Whether a person has approved the promotion."""
    forced: bool | None = None
    """Whether the canary is promoted without steps and gates, since a person, a pin or the roll-back window says so."""
    skipped: bool | None = None
    """Whether a person has skipped the rest of this step."""
    ending: RolloutEnding | None = None
    """How the roll-back ends that is under way."""
    rejected: Annotated[list[RejectedRevision] | None, Field(max_length=20)] = None
    """Revisions that are not offered again by themselves, oldest first."""
    commands: Annotated[list[ShortText] | None, Field(max_length=16)] = None
    """Commands of people that were carried out, oldest first."""
    recent_events: Annotated[list[RolloutEvent] | None, Field(max_length=8)] = None
    """The newest Events about the roll-out, oldest first. The next operator reports those that one which was killed did not."""
