"""Lets the operator's triggers look at the past, one look a step, and notes what they say and which runs would follow. Pure.

A run is taken to be over at once and to change nothing, so that a model which stays bad asks again after each cooldown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
from tuneloop_operator.decide.model_deployment.retraining.triggers.judge import judged
from tuneloop_operator.decide.model_deployment.retraining.triggers.new_data import COUNT
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.prometheus.answer import Number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_cli.backtest.manifest import Watched
    from tuneloop_cli.backtest.range_answer import History
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
    from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerVerdict


@dataclass(frozen=True, kw_only=True)
class Past:
    """What Prometheus kept. Times are Unix seconds."""

    begin: int
    end: int
    step: int
    revisions: Mapping[int, str]
    """Stable revision by time."""
    answers: Mapping[tuple[str, str, str], History]
    """By trigger, part and revision. Of `newData` each answer is the number of labels of one step."""

    @property
    def times(self) -> range:
        """When triggers look."""
        return range(self.begin, self.end + 1, self.step)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A time in which the verdicts of a trigger were alike."""

    state: TriggerState
    begin: datetime
    end: datetime
    reason: str
    """The first of them."""
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that would have begun."""

    at: datetime
    trigger: str
    key: str


@dataclass
class Replay:
    """Verdicts of the triggers."""

    stretches: dict[str, list[Stretch]] = field(default_factory=dict)
    """By trigger, oldest first."""
    runs: list[Run] = field(default_factory=list)


def replayed(watched: Watched, past: Past, *, on_look: Callable[[int], None] = lambda _: None) -> Replay:
    """Return the verdicts that the triggers would have had. on_look: gets the time after each look."""
    found = Replay(stretches={trigger.name: [] for trigger in watched.triggers})
    memories: dict[str, TriggerMemory] = {}
    about = About(namespace=watched.namespace, deployment=watched.name, revision="", cutoff=_moment(past.begin))
    labels, last_revision = 0.0, ""
    for time in past.times:
        now = _moment(time)
        last_revision = past.revisions.get(time, last_revision)
        about = replace(about, revision=last_revision)
        labels += _labels(watched, past, time)
        verdicts = []
        for trigger in watched.triggers:
            readings = _readings(trigger, past, about, time, labels=labels)
            result = judged(trigger, memories.get(trigger.name), readings, about, now=now)
            memories[trigger.name] = result.memory
            verdicts.append(result.verdict)
            _note(found.stretches[trigger.name], result.verdict, now)
        for verdict in _asking(verdicts, about, found.runs, now=now, cooldown=watched.cooldown):
            found.runs.append(Run(at=now, trigger=verdict.name, key=verdict.key))
            about = replace(about, cutoff=now, handled=about.handled | {verdict.key})
            labels = 0.0
        on_look(time)
    return found


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time, tz=UTC)


def _labels(watched: Watched, past: Past, time: int) -> float:
    """Return the labels of one step. Any trigger on new data has counted them."""
    for trigger in watched.triggers:
        if trigger.type == "newData" and (history := past.answers.get((trigger.name, COUNT, ""))):
            answer = history.at(time)
            return answer.value if isinstance(answer, Number) else 0.0
    return 0.0


def _readings(trigger: Trigger, past: Past, about: About, time: int, *, labels: float) -> dict[str, Reading]:
    found = {}
    for (name, part, revision), history in past.answers.items():
        if name == trigger.name and revision in {"", about.revision}:
            answer = history.at(time)
            if trigger.type == "newData" and (labels or isinstance(answer, Number)):
                answer = Number(value=labels, at=time)
            found[part] = Reading(answer=answer, at=_moment(time))
    return found


def _note(stretches: list[Stretch], verdict: TriggerVerdict, now: datetime) -> None:
    if stretches:
        stretches[-1] = replace(stretches[-1], end=now)
    if not stretches or stretches[-1].state is not verdict.state:
        stretches.append(Stretch(state=verdict.state, begin=now, end=now, reason=verdict.reason, value=verdict.value))


def _asking(
    verdicts: list[TriggerVerdict], about: About, runs: list[Run], *, now: datetime, cooldown: float
) -> Iterator[TriggerVerdict]:
    """Yield the verdict that begins a run now: the first that asks, once the cooldown is over."""
    if runs and now - runs[-1].at < timedelta(seconds=cooldown):
        return
    for verdict in verdicts:
        asks = verdict.state is TriggerState.FIRING and verdict.action == "Retrain"
        if asks and verdict.key not in about.handled:
            yield verdict
            return
