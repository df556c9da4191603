"""`status.rollout` of a ModelDeployment: where the roll-out is, what it has found, and what the operator must remember to go on.

It is the operator's only memory of a roll-out. Times are RFC 3339 in UTC, whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tuneloop_api.v1alpha1.common import LongText, ShortText
from tuneloop_api.wire.model import MessageModel, Open

Strategy: TypeAlias = Literal["Canary", "BlueGreen", "Shadow", "Recreate"]
RolloutPhase: TypeAlias = Literal[
    "Starting", "Progressing", "Paused", "Held", "Promoting", "RollingBack", "Reverting", "Baking", "Done", "Aborted", "RolledBack",
]  # fmt: skip
GateVerdict: TypeAlias = Literal["Pass", "Fail", "Inconclusive", "NoData", "Error"]
GateActionWord: TypeAlias = Literal["Advance", "Hold", "RollBack", "GiveUp"]
RejectionWord: TypeAlias = Literal["GateFailed", "Broken", "NeverReady", "Aborted", "RolledBack"]
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


class RolloutEnding(MessageModel):
    """How a roll-back ends once it is in force."""

    phase: Annotated[RolloutPhase, Open("RolledBack")]
    """Where the roll-out is after that: Done, Aborted or RolledBack."""
    reason: Annotated[RejectionWord | None, Open("GateFailed")] = None
    """Why the revision is not offered again. Absent: it is."""
    message: LongText
    """Why, as a sentence."""


class RejectedRevision(MessageModel):
    """A revision that is not offered again by itself."""

    revision: RevisionName
    """Hash of artifact and settings, as in `status.revisions`."""
    reason: Annotated[RejectionWord, Open("GateFailed")]
    """Why, as one word."""
    message: LongText
    """Why, as a sentence."""
    time: Time
    """When it was rejected."""
    spec_digest: ShortText
    """Digest of the spec that it was rejected under. Under another spec it is offered again."""


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
