"""The memory of the loop, written into the status and read back. What is read is what was written, to the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.v1alpha1.model_deployment.retraining_status import (
    MOST_TRIGGERS,
    BudgetStatus,
    ChosenArtifact,
    RetrainingRun,
    RetrainingStatus,
    RetrainingTotal,
    TriggerStatus,
)
from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerMemoryStatus
from tuneloop_operator.decide.model_deployment.retraining.state import (
    Artifact,
    BlockedReason,
    Loop,
    LoopState,
    Outcome,
    Record,
    Run,
)
from tuneloop_operator.decide.model_deployment.retraining.storm import gpu_seconds_left, spent
from tuneloop_operator.decide.model_deployment.retraining.triggers.records import read_trigger, written_trigger
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict
from tuneloop_operator.decide.model_deployment.rollout.gate_records import sentence
from tuneloop_operator.state.conditions import moment, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from tuneloop_operator.decide.model_deployment.retraining.facts import LoopSpec
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory


def written(loop: Loop, spec: LoopSpec, *, now: datetime) -> RetrainingStatus:
    """Return the memory as it stands in the status, with what the budget still allows. A field that is empty is left out."""
    answered = dict(loop.handled)
    return RetrainingStatus(
        state=loop.state.value,
        blocked_reason=loop.blocked.value if loop.blocked else None,
        message=sentence(loop.why) or None,
        next_eligible_time=stamp(loop.next_eligible) if loop.next_eligible else None,
        budget=_budget(loop, spec, now=now),
        model=loop.model or None,
        choice=_artifact(loop.choice) if loop.choice else None,
        setbacks=loop.setbacks or None,
        triggers=[_trigger(found, answered.get(found.name)) for found in loop.triggers[:MOST_TRIGGERS]] or None,
        trigger_memory=[written_trigger(found).to_wire() for found in loop.trigger_memories[:MOST_TRIGGERS]] or None,
        history=[*map(_record, loop.history), *([RetrainingRun(**_run(loop.run))] if loop.run else [])] or None,
        totals=[RetrainingTotal(trigger=name, outcome=word, count=n) for name, word, n in loop.totals] or None,
        last_success_time=stamp(loop.last_success) if loop.last_success else None,
    )


def remembered(status: RetrainingStatus) -> Loop:
    """Return the memory that a status holds."""
    triggers, runs = status.triggers or (), status.history or ()
    return Loop(
        state=LoopState(status.state),
        blocked=BlockedReason(status.blocked_reason) if status.blocked_reason else None,
        why=status.message or "",
        next_eligible=moment(status.next_eligible_time) if status.next_eligible_time else None,
        model=status.model or "",
        choice=_read_artifact(status.choice) if status.choice else None,
        run=next((_read_run(run) for run in reversed(runs) if run.outcome is None), None),
        setbacks=status.setbacks or 0,
        handled=tuple((found.name, found.answered) for found in triggers if found.answered is not None),
        history=tuple(_read_record(run) for run in runs if run.outcome is not None),
        totals=tuple((found.trigger, found.outcome, found.count) for found in status.totals or ()),
        last_success=moment(status.last_success_time) if status.last_success_time else None,
        triggers=tuple(map(_read_trigger, triggers)),
        trigger_memories=tuple(_read_memories(status.trigger_memory or ())),
    )


def _read_memories(stored: Iterable[dict[str, Any]]) -> Iterator[TriggerMemory]:
    """Yield what is remembered of triggers. One that does not fit begins anew."""
    for found in stored:
        try:
            yield read_trigger(TriggerMemoryStatus.from_wire(found))
        except ValidationError:
            continue


def _budget(loop: Loop, spec: LoopSpec, *, now: datetime) -> BudgetStatus:
    runs = max(0, spec.most_runs - spent(loop, spec, now=now).runs)
    return BudgetStatus(runs=runs, gpu_seconds=gpu_seconds_left(loop, spec, now=now))


def _run(run: Run) -> dict[str, Any]:
    return {
        "job": run.name,
        "job_uid": run.job_uid or None,
        "trigger": run.trigger,
        "key": run.key or None,
        "started_at": stamp(run.started),
        "champion": run.champion,
        "champion_digest": run.champion_digest,
        "recipe": run.recipe,
        "data_digest": run.data_digest or None,
        "gpu_seconds": run.gpu_seconds or None,
        "challenger": _artifact(run.challenger) if run.challenger else None,
        "promoted": run.is_promoted or None,
    }


def _read_run(status: RetrainingRun) -> Run:
    return Run(
        name=status.job,
        job_uid=status.job_uid or "",
        trigger=status.trigger,
        key=status.key or "",
        started=moment(status.started_at),
        champion=status.champion,
        champion_digest=status.champion_digest,
        recipe=status.recipe,
        data_digest=status.data_digest or "",
        gpu_seconds=status.gpu_seconds or 0.0,
        challenger=_read_artifact(status.challenger) if status.challenger else None,
        is_promoted=bool(status.promoted),
    )


def _record(record: Record) -> RetrainingRun:
    ended = stamp(record.ended)
    return RetrainingRun(
        **_run(record.run), outcome=record.outcome.value, reason=sentence(record.reason), ended_at=ended
    )


def _read_record(status: RetrainingRun) -> Record:
    run = _read_run(status)
    ended = moment(status.ended_at) if status.ended_at else run.started
    return Record(run=run, outcome=Outcome(status.outcome or "Failed"), reason=status.reason or "", ended=ended)


def _artifact(artifact: Artifact) -> ChosenArtifact:
    return ChosenArtifact(
        job=artifact.job,
        uri=artifact.uri,
        digest=artifact.digest,
        size_bytes=artifact.size_bytes,
        revision=artifact.revision or None,
    )


def _read_artifact(status: ChosenArtifact) -> Artifact:
    return Artifact(
        job=status.job,
        uri=status.uri,
        digest=status.digest,
        size_bytes=status.size_bytes,
        revision=status.revision or "",
    )


def _trigger(verdict: TriggerVerdict, answered: str | None) -> TriggerStatus:
    return TriggerStatus(
        name=verdict.name,
        type=verdict.type,
        action=verdict.action,
        state=verdict.state.value,
        value=verdict.value,
        threshold=verdict.threshold,
        since=stamp(verdict.since),
        reason=sentence(verdict.reason),
        key=verdict.key or None,
        answered=answered,
    )


def _read_trigger(status: TriggerStatus) -> TriggerVerdict:
    return TriggerVerdict(
        name=status.name,
        type=status.type,
        action=status.action,
        state=TriggerState(status.state),
        reason=status.reason,
        value=status.value,
        threshold=status.threshold,
        since=moment(status.since),
        key=status.key or "",
    )
