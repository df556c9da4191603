"""What a decision about a roll-out depends on beside its memory: the spec, the servers, the routers, measurements, and a person's command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout, Router, Strategy

SERVICE = "service"
"""Name of the Service where it stands for the only router."""


@dataclass(frozen=True, kw_only=True)
class MeasuredStep:
    """The step that measurements belong to. Those of another step say nothing."""

    revision: str
    generation: int
    """Of the split."""
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What was measured in one step."""

    step: MeasuredStep
    requests: int
    """Live requests that the revision has answered; in a step without weight: copies of live requests that were compared."""
    replayed: int = 0
    """Golden requests that were replayed."""
    gates: tuple[GateSummary, ...] = ()


class Action(StrEnum):
    """What a person may ask for."""

    PROMOTE = "Promote"
    ABORT = "Abort"
    RETRY = "Retry"
    SKIP = "Skip"
    APPROVE = "Approve"
    ROLL_BACK = "RollBack"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A person's command. It is carried out once, or never if it does not apply when it comes."""

    action: Action
    token: str
    """Tells this command from an equal one that is given later."""
    revision: str = ""
    """The revision that the person meant; empty: whichever it is."""


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """A step of the spec."""

    weight: int
    """1 to 100."""
    min_duration: float = 0.0
    """Seconds."""
    min_requests: int = 0
    pause: bool = False


class Capacity(StrEnum):
    """Where the servers of a new revision find room."""

    SURGE = "Surge"
    """Beside those of stable."""
    REPLACE = "Replace"
    """In place of those of stable, one by one."""


class ThinTraffic(StrEnum):
    """What to do when a step has too few requests."""

    HOLD = "Hold"
    REPLAY = "Replay"


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """Limits of an autoscaler, which owns the number of stable's servers."""

    minimum: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class RolloutSpec:
    """What the spec says about roll-outs, with its defaults. Durations in seconds."""

    strategy: Strategy
    steps: tuple[StepSpec, ...] = ()
    min_requests: int = 0
    """Of a step that names none."""
    gates: tuple[str, ...] = ()
    """Names of the gates that must advance. Those on trial are not among them."""
    shadow_percent: int = 0
    shadow_min_requests: int = 0
    on_thin_traffic: ThinTraffic = ThinTraffic.HOLD
    max_duration: float = 86400.0
    manual_approval: bool = False
    automatic_rollback: bool = True
    baking: float = 3600.0
    window: float = 86400.0
    """How long after a promotion the revision before is kept for a roll-back."""
    keep_replicas: int = 0
    """Servers of the revision before, during the window."""
    capacity: Capacity = Capacity.SURGE
    history_limit: int = 5
    replicas: int = 1
    """Ignored with autoscaling."""
    autoscaling: Autoscaling | None = None
    digest: str
    """Hash of what a person sets about model and roll-out. The number of replicas is no part of it: an autoscaler writes that."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was observed."""

    spec: RolloutSpec
    offered: str
    """The newest revision that the spec asks for; empty while its artifact is not available."""
    pinned: str = ""
    """The revision that the spec forces; empty: none."""
    serving: str = ""
    """The revision to which the Service or the routers' start state sends requests. It matters only if the memory is lost."""
    revisions: tuple[str, ...] = ()
    """Those that have a Deployment, oldest first."""
    counts: tuple[tuple[str, int], ...] = ()
    """Revision and the number of servers that its Deployment is to have now."""
    ready: tuple[tuple[str, int], ...] = ()
    """Revision and the number of its ready endpoints."""
    broken: tuple[tuple[str, str], ...] = ()
    """Revision whose servers fail for good, and why: they cannot load the model, or crash again and again."""
    failures: tuple[tuple[str, str], ...] = ()
    """Revision of which a server does not come up, and the class of its failure, as in `status.failure.class`."""
    routers: tuple[Router, ...] = ()
    """Those that carry requests: the Service while it leads to a revision itself, else every router."""
    standby: tuple[Router, ...] = ()
    """Routers that carry nothing yet, because the Service does not lead to them."""
    settings: str = ""
    """What routers are told beside the shares, as a digest. Another one needs another generation."""
    measured: Measurements | None = None
    command: Command | None = None


def ready_of(facts: Facts, revision: str) -> int:
    """Return the number of ready endpoints of a revision."""
    return dict(facts.ready).get(revision, 0)


def count_of(facts: Facts, revision: str) -> int:
    """Return the number of servers that the Deployment of a revision is to have now."""
    return dict(facts.counts).get(revision, 0)


def breakage_of(facts: Facts, revision: str) -> str:
    """Return why the servers of a revision fail for good; empty if they do not."""
    return dict(facts.broken).get(revision, "")


def failure_of(facts: Facts, revision: str) -> str:
    """Return the class of the failure of a revision's servers; empty if they come up."""
    return dict(facts.failures).get(revision, "")


def target_of(rollout: Rollout, facts: Facts) -> str:
    """Return the revision that is asked for: the pinned one, else the offered one, else that which is on its way."""
    return facts.pinned or facts.offered or rollout.canary or rollout.stable


def measured_step(rollout: Rollout) -> MeasuredStep | None:
    """Return the step to measure now; None if there is none: nothing is in force yet, or nobody asks."""
    if rollout.step_started is None:
        return None
    revision = rollout.canary or rollout.stable
    return MeasuredStep(revision=revision, generation=rollout.split.generation, since=rollout.step_started)
