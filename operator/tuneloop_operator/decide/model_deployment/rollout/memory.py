"""The memory of a roll-out, written into the status and read back. What is read is what was written, to the second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.rollout_status import (
    RejectedRevision,
    RevisionWeight,
    RolloutEnding,
    RolloutStatus,
    RouterStatus,
    SplitStatus,
)
from tuneloop_operator.decide.model_deployment.rollout.gate_records import (
    read_gate,
    read_gate_memory,
    sentence,
    written_gate,
    written_gate_memory,
)
from tuneloop_operator.decide.model_deployment.rollout.recent_events import read_event, written_event
from tuneloop_operator.decide.model_deployment.rollout.state import (
    Ending,
    Phase,
    Rejection,
    RejectionReason,
    Rollout,
    Router,
    Split,
    Strategy,
)
from tuneloop_operator.state.conditions import moment, stamp

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.rollout_status import RejectionWord

_MOST_ROUTERS = 16
"""Of which it takes reports."""


def written(rollout: Rollout) -> RolloutStatus:
    """Return the memory as it stands in the status. A field that is empty is left out."""
    return RolloutStatus(
        strategy=rollout.strategy.value,
        phase=rollout.phase.value,
        message=sentence(rollout.why) or None,
        stable=rollout.stable,
        canary=rollout.canary or None,
        share=f"{rollout.canary} {rollout.split.weight_of(rollout.canary)}%" if rollout.canary else None,
        previous=rollout.previous or None,
        step=rollout.step + 1,
        split=_split(rollout.split),
        earlier_splits=[*map(_split, rollout.earlier)] or None,
        routers=[*map(_router, rollout.in_force[:_MOST_ROUTERS])] or None,
        requests=rollout.requests or None,
        gates=[*map(written_gate, rollout.gates)] or None,
        gate_memory=[*map(written_gate_memory, rollout.gate_memories)] or None,
        replayed_before=rollout.replayed_before,
        started_at=_stamp(rollout.started),
        step_started_at=_stamp(rollout.step_started),
        promoted_at=_stamp(rollout.promoted),
        has_served=rollout.has_served or None,
        replays=rollout.replays or None,
        outages=rollout.outages or None,
        approved_steps=[step + 1 for step in rollout.approved_steps] or None,
        approved=rollout.is_approved or None,
        forced=rollout.is_forced or None,
        skipped=rollout.is_skipped or None,
        ending=_ending(rollout.ending) if rollout.ending else None,
        rejected=[*map(_rejection, rollout.rejected)] or None,
        commands=[*rollout.commands] or None,
        recent_events=[*map(written_event, rollout.recent_events)] or None,
    )


def remembered(status: RolloutStatus) -> Rollout:
    """Return the memory that a status holds."""
    return Rollout(
        strategy=Strategy(status.strategy),
        stable=status.stable,
        canary=status.canary or "",
        previous=status.previous or "",
        has_served=bool(status.has_served),
        phase=Phase(status.phase),
        split=_read_split(status.split),
        earlier=tuple(map(_read_split, status.earlier_splits or ())),
        in_force=tuple(map(_read_router, status.routers or ())),
        step=status.step - 1,
        started=_moment(status.started_at),
        step_started=_moment(status.step_started_at),
        promoted=_moment(status.promoted_at),
        requests=status.requests or 0,
        gates=tuple(map(read_gate, status.gates or ())),
        gate_memories=tuple(map(read_gate_memory, status.gate_memory or ())),
        replayed_before=status.replayed_before,
        replays=bool(status.replays),
        outages=status.outages or 0,
        approved_steps=tuple(step - 1 for step in status.approved_steps or ()),
        is_approved=bool(status.approved),
        is_forced=bool(status.forced),
        is_skipped=bool(status.skipped),
        ending=_read_ending(status.ending) if status.ending else None,
        rejected=tuple(map(_read_rejection, status.rejected or ())),
        commands=tuple(status.commands or ()),
        recent_events=tuple(map(read_event, status.recent_events or ())),
        why=status.message or "",
    )


def _split(split: Split) -> SplitStatus:
    weights = [RevisionWeight(revision=revision, weight=weight) for revision, weight in split.weights]
    shadow, settings = split.shadow or None, split.settings or None
    return SplitStatus(generation=split.generation, weights=weights, shadow=shadow, settings=settings)


def _read_split(status: SplitStatus) -> Split:
    weights = tuple((share.revision, share.weight) for share in status.weights)
    shadow, settings = status.shadow or 0, status.settings or ""
    return Split(generation=status.generation, weights=weights, shadow=shadow, settings=settings)


def _router(router: Router) -> RouterStatus:
    reason = sentence(router.reason) or None
    return RouterStatus(name=router.name, generation=router.generation, refused=router.refused, reason=reason)


def _read_router(status: RouterStatus) -> Router:
    reason = status.reason or ""
    return Router(name=status.name, generation=status.generation, refused=status.refused, reason=reason)


def _ending(ending: Ending) -> RolloutEnding:
    reason: RejectionWord | None = ending.reason.value if ending.reason else None
    message, failure = sentence(ending.message), ending.failure or None
    return RolloutEnding(phase=ending.phase.value, reason=reason, message=message, failure=failure)


def _read_ending(status: RolloutEnding) -> Ending:
    reason = RejectionReason(status.reason) if status.reason else None
    return Ending(phase=Phase(status.phase), reason=reason, message=status.message, failure=status.failure or "")


def _rejection(rejection: Rejection) -> RejectedRevision:
    return RejectedRevision(
        revision=rejection.revision,
        reason=rejection.reason.value,
        failure=rejection.failure or None,
        message=sentence(rejection.message),
        time=stamp(rejection.at),
        spec_digest=rejection.spec_digest,
    )


def _read_rejection(status: RejectedRevision) -> Rejection:
    return Rejection(
        revision=status.revision,
        reason=RejectionReason(status.reason),
        message=status.message,
        at=moment(status.time),
        failure=status.failure or "",
        spec_digest=status.spec_digest,
    )


def _stamp(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else moment(text)
