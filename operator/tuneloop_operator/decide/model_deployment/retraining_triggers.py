"""The triggers of a ModelDeployment: the queries of Prometheus for them, and the verdict of each now. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
from tuneloop_operator.decide.model_deployment.retraining import data_quality
from tuneloop_operator.decide.model_deployment.retraining.state import Outcome
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import STALE, About, Reading
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import judged, queries_of, subject_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.schedule import seconds_to_look
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.prometheus.answer import Number, Unanswered

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.decide.model_deployment.retraining.data_quality import DataQuality
    from tuneloop_operator.decide.model_deployment.retraining.state import Loop
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import TriggerQuery
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict
    from tuneloop_operator.state.gate_inputs import QueryAnswer
    from tuneloop_operator.state.observed import ObservedDeployment

ANNOTATION = "tuneloop.dev/retrain"
_ANSWERS = "trigger/"
"""Before the name of a trigger, among the answers of Prometheus. No gate has a slash in its name."""
_DATA = f"{_ANSWERS}/data/"
"""Before the revision, of the answers about data. No trigger has an empty name."""
_MANUAL = Trigger(name="manual", type="manual")
_DIGITS = 2
"""Of a number that make it news: another third digit is written with the next change of anything else."""
_NUMBERS_SECONDS = 300.0
"""Between two writes of numbers alone. A number that is never at rest would be written with each answer."""


def triggers_of(deployment: ModelDeployment) -> tuple[Trigger, ...]:
    """Return the triggers that are looked at. A person may always ask: without a trigger of type manual there is one of that name."""
    given = deployment.spec.retraining
    if given is None or not given.enabled:
        return ()
    triggers = tuple(given.triggers or ())
    has_manual = any(trigger.type == "manual" or trigger.name == _MANUAL.name for trigger in triggers)
    return triggers if has_manual else (*triggers, _MANUAL)


def wanted_answers(deployment: ModelDeployment, loop: Loop, *, now: datetime) -> dict[str, tuple[TriggerQuery, ...]]:
    """Return the queries that are to be asked now, by the name under which their answers are kept."""
    about = _about(deployment, loop)
    if about is None:
        return {}
    found = {_answers_of(trigger, about): queries_of(trigger, about, now=now) for trigger in triggers_of(deployment)}
    if near := _near(loop.triggers):
        found[_data_name(about, near)] = data_quality.queries(about, of_labels=_is_of_labels(near))
    return {name: queries for name, queries in found.items() if queries}


def data_of(
    observed: ObservedDeployment, loop: Loop, verdicts: tuple[TriggerVerdict, ...], *, now: datetime
) -> DataQuality:
    """Return what is known of the data on which these triggers fire."""
    about, near = _about(observed.deployment, loop), _near(verdicts)
    if about is None or not near:
        return data_quality.FIT
    return data_quality.judged(_answers(observed, _data_name(about, near)), now=now)


def _near(verdicts: tuple[TriggerVerdict, ...]) -> tuple[TriggerVerdict, ...]:
    """Return the triggers that judge data and ask for a run, or are about to."""
    return tuple(
        verdict
        for verdict in verdicts
        if verdict.state in {TriggerState.PENDING, TriggerState.FIRING}
        and verdict.action == "Retrain"
        and verdict.type in data_quality.GUARDED
    )


def _is_of_labels(near: tuple[TriggerVerdict, ...]) -> bool:
    return any(verdict.type in data_quality.OF_LABELS for verdict in near)


def _data_name(about: About, near: tuple[TriggerVerdict, ...]) -> str:
    return f"{_DATA}{about.revision}/{'8d' if _is_of_labels(near) else '1d'}"


def counted(before: tuple[QueryAnswer, ...], answers: tuple[QueryAnswer, ...]) -> tuple[QueryAnswer, ...]:
    """Return the answers that count from now on, of a trigger or a gate. before: what counted so far.

    Of a trigger, numbers outlast errors for as long as an answer may be old: a Prometheus that fails now and then would change the state, and the status, each time.
    """
    is_failing = any(isinstance(found.answer, Unanswered) and found.answer.verdict == "Error" for found in answers)
    has_numbers = bool(before) and all(isinstance(found.answer, Number) for found in before)
    if not (is_failing and has_numbers and answers[0].gate.startswith(_ANSWERS)):
        return answers
    return before if 0 <= (answers[0].at - before[0].at).total_seconds() <= STALE else answers


def looked_at(
    observed: ObservedDeployment, loop: Loop, *, now: datetime
) -> tuple[tuple[TriggerVerdict, ...], tuple[TriggerMemory, ...]]:
    """Return the verdict of each trigger now, and its memory; nothing new while nothing serves. loop: the memory, with the verdicts before."""
    about = _about(observed.deployment, loop)
    if about is None:
        return loop.triggers, loop.trigger_memories
    memories = {memory.name: memory for memory in loop.trigger_memories}
    earlier = {verdict.name: verdict for verdict in loop.triggers}
    verdicts, remembered = [], []
    for trigger in triggers_of(observed.deployment):
        readings = _readings(observed, trigger, about)
        found = judged(trigger, memories.get(trigger.name), readings, about, now=now)
        before, memory = earlier.get(trigger.name), found.memory
        if before is not None and _is_no_news(before, found.verdict, _age(memory.shown_at, now)):
            verdicts.append(before)
        else:
            verdicts.append(found.verdict)
            memory = replace(memory, shown_at=now.replace(microsecond=0))
        remembered.append(memory)
    return tuple(verdicts), tuple(remembered)


def look_again(deployment: ModelDeployment, *, now: datetime) -> float | None:
    """Return the seconds until a schedule is looked at again; None: there is none. Other triggers are looked at when there is an answer, or an annotation."""
    schedules = [trigger for trigger in triggers_of(deployment) if trigger.type == "schedule"]
    return min((seconds_to_look(trigger, now) for trigger in schedules), default=None)


def _about(deployment: ModelDeployment, loop: Loop) -> About | None:
    status = deployment.status
    if status is None or status.stable is None:
        return None
    metadata = deployment.metadata
    runs = [record.run for record in loop.history if record.outcome is not Outcome.DRY_RUN]
    runs += [loop.run] if loop.run else []
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    return About(
        namespace=metadata["namespace"],
        deployment=metadata["name"],
        revision=status.stable.revision,
        cutoff=runs[-1].started if runs else created,
        token=(metadata.get("annotations") or {}).get(ANNOTATION, ""),
        handled=frozenset([key for _, key in loop.handled] + [record.run.key for record in loop.history]),
    )


def _answers_of(trigger: Trigger, about: About) -> str:
    return f"{_ANSWERS}{trigger.name}/{subject_of(trigger, about)}"


def _readings(observed: ObservedDeployment, trigger: Trigger, about: About) -> dict[str, Reading]:
    return _answers(observed, _answers_of(trigger, about))


def _answers(observed: ObservedDeployment, name: str) -> dict[str, Reading]:
    return {
        found.revision: Reading(answer=found.answer, at=found.at)
        for found in observed.query_answers
        if found.gate == name
    }


def _age(shown_at: datetime | None, now: datetime) -> float:
    """Return the seconds since a verdict was written; infinite if none was, or if the clock went back."""
    age = -1.0 if shown_at is None else (now - shown_at).total_seconds()
    return age if age >= 0 else math.inf


def _is_no_news(before: TriggerVerdict, verdict: TriggerVerdict, age: float) -> bool:
    """Whether a verdict says the same as the one before, but for digits. age: seconds since that one was written."""
    same = (before.state, before.key, before.action) == (verdict.state, verdict.key, verdict.action)
    if verdict.state is TriggerState.UNKNOWN:
        return same and before.reason.split()[:3] == verdict.reason.split()[:3]
    if verdict.value is None:  # nothing is measured, so the reason changes with what happens alone
        return same and before.reason == verdict.reason
    same = same and before.threshold == verdict.threshold and before.value is not None
    return same and (age < _NUMBERS_SECONDS or _digits(before.value) == _digits(verdict.value))


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS}g}"
