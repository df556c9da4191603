"""What a roll-out remembers between two decisions. It is stored in the status; nothing else is needed to go on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.decision import Event
    from tuneloop_operator.decide.model_deployment.gates.gate_memory import GateMemory
    from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary


class Strategy(StrEnum):
    """How requests move to a new revision."""

    CANARY = "Canary"
    """Share by share."""
    BLUE_GREEN = "BlueGreen"
    """All at once, after a preview with all its servers."""
    SHADOW = "Shadow"
    """On copies of requests first."""
    RECREATE = "Recreate"
    """All at once by the plain Service, without a router."""


class Phase(StrEnum):
    """Where a roll-out is."""

    STARTING = "Starting"
    """The canary waits for its servers and carries nothing."""
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    """A step is complete, and a person must approve."""
    HELD = "Held"
    """The roll-out does not go on by itself: a person must decide. Gates still roll it back."""
    PROMOTING = "Promoting"
    """The canary is to carry everything."""
    ROLLING_BACK = "RollingBack"
    """The canary is to carry nothing."""
    REVERTING = "Reverting"
    """The revision before the promoted one is to carry everything again. It is the canary of this phase."""
    BAKING = "Baking"
    """The new revision is promoted, and gates still watch it."""
    DONE = "Done"
    ABORTED = "Aborted"
    """A person has ended the roll-out."""
    ROLLED_BACK = "RolledBack"


IDLE = frozenset({Phase.DONE, Phase.ABORTED, Phase.ROLLED_BACK})
"""Phases without a canary, in which a new revision may start."""


class RejectionReason(StrEnum):
    """Why a revision is not offered again."""

    GATE_FAILED = "GateFailed"
    BROKEN = "Broken"
    """Its servers cannot start, or crash again and again."""
    NEVER_READY = "NeverReady"
    ABORTED = "Aborted"
    ROLLED_BACK = "RolledBack"
    """A person went back to the revision before."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A revision that is not offered again while the spec has this digest."""

    revision: str
    reason: RejectionReason
    message: str
    at: datetime
    spec_digest: str
    failure: str = ""
    """Class of the failure of its servers; empty: they came up."""


@dataclass(frozen=True, kw_only=True)
class Router:
    """A replica that divides requests. The Service is one while it leads to a revision itself: it follows the split in which that has everything."""

    name: str
    generation: int | None
    """In force, as it last reported; None: it has not reported yet."""
    refused: int | None = None
    """Generation that it does not take."""
    reason: str = ""
    """Why not."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the routers are to divide requests."""

    generation: int
    """Grows with each change. A router takes no older one."""
    weights: tuple[tuple[str, int], ...]
    """Revision and percentage; the newest revision first and stable last, none with 0. The sum is 100."""
    shadow: int = 0
    """Percentage of requests of which the comparator gets a copy."""
    settings: str = ""
    """What routers are told beside the shares, as a digest: it belongs to the generation."""

    def weight_of(self, revision: str) -> int:
        """Return the percentage of requests that this revision gets."""
        return dict(self.weights).get(revision, 0)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a roll-back ends once it is in force."""

    phase: Phase
    reason: RejectionReason | None
    """None: another revision takes the place of the canary, which is not rejected."""
    message: str
    failure: str = ""
    """As in `Rejection`."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The memory of a roll-out."""

    strategy: Strategy
    """Of the current roll-out. A strategy that the spec names later waits for the next one."""
    stable: str
    canary: str = ""
    """The revision that is on its way; empty if none is."""
    previous: str = ""
    """The revision before stable, as long as a roll-back may use it."""
    has_served: bool = False
    """Whether stable has ever had a ready server. One that never had is replaced without a roll-out."""
    phase: Phase = Phase.DONE
    split: Split
    """What is wanted. It is written here before any router sees it."""
    earlier: tuple[Split, ...] = ()
    """Older splits that some router may still follow, oldest first."""
    in_force: tuple[Router, ...] = ()
    """What each router last reported."""
    step: int = 0
    started: datetime | None = None
    step_started: datetime | None = None
    """When the step's split was in force on every router; while baking: when the revision was promoted. None: not yet."""
    promoted: datetime | None = None
    """When stable was promoted."""
    requests: int = 0
    """Requests that count for the step."""
    gates: tuple[GateSummary, ...] = ()
    gate_memories: tuple[GateMemory, ...] = ()
    """What gates have shown in this roll-out, so that no look is taken twice."""
    replayed_before: int | None = None
    """Golden requests that had been replayed when the step began; None: they were not counted yet."""
    replays: bool = False
    """Whether the comparator is to replay golden requests."""
    outages: int = 0
    """How often the canary lost all its servers while it carried requests."""
    approved_steps: tuple[int, ...] = ()
    """Steps of this canary whose pause a person has approved."""
    is_approved: bool = False
    """Whether a person has approved the promotion of this canary."""
    is_forced: bool = False
    """Whether the canary is promoted without steps and gates: a person, a pin or the roll-back window says so."""
    is_skipped: bool = False
    """Whether a person wants the rest of this step to be skipped."""
    ending: Ending | None = None
    rejected: tuple[Rejection, ...] = ()
    """Oldest first."""
    commands: tuple[str, ...] = ()
    """Tokens of the commands that were carried out, oldest first."""
    recent_events: tuple[Event, ...] = ()
    """What people are to be told of the newest decisions, oldest first."""
    why: str = ""
    """What the roll-out waits for, or how the last one ended, as a sentence."""


def updated(rollout: Rollout, **fields: Any) -> Rollout:
    """Return the memory with these fields; the same object if none of them changes."""
    differs = any(getattr(rollout, name) != value for name, value in fields.items())
    return replace(rollout, **fields) if differs else rollout


def before_its_steps(rollout: Rollout) -> Rollout:
    """Return the memory of a canary that has taken no step yet, and about which no person has spoken."""
    return replace(
        rollout,
        step=0,
        step_started=None,
        outages=0,
        gate_memories=(),
        replayed_before=None,
        approved_steps=(),
        is_approved=False,
        is_forced=False,
        is_skipped=False,
        why="",
    )


def without_canary(rollout: Rollout) -> Rollout:
    """Return the memory without what belongs to one roll-out."""
    return replace(before_its_steps(rollout), canary="", started=None, replays=False, ending=None)
