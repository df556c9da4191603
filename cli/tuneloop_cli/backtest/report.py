"""What a replay found, as lines for people and as JSON. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuneloop_operator.decide.model_deployment.retraining.data_quality import GUARDED
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason
from tuneloop_operator.decide.model_deployment.retraining.triggers.levels import DEFAULT_DAYS
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState
from tuneloop_operator.state.conditions import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_cli.backtest.manifest import Watched
    from tuneloop_cli.backtest.replay import Past, Replay, Run, Stretch

_DAY = 86400
_OF_CHANCE = frozenset({"accuracy", "drift"})
"""Types whose false alarms have a rate."""


def as_json(watched: Watched, past: Past, found: Replay) -> dict[str, Any]:
    """Return all of it."""
    return {
        "namespace": watched.namespace,
        "deployment": watched.name,
        "from": _time(past.begin),
        "to": _time(past.end),
        "stepSeconds": past.step,
        "cooldownSeconds": watched.cooldown,
        "triggers": [_trigger(trigger, past, found.stretches[trigger.name]) for trigger in watched.triggers],
        "runs": [
            {
                "at": stamp(run.at),
                "trigger": run.trigger,
                "key": run.key,
                "mayBeBlockedBy": [BlockedReason.DATA_QUALITY.value] if _is_guarded(run, watched) else [],
            }
            for run in found.runs
        ],
    }


def as_lines(watched: Watched, past: Past, found: Replay) -> Iterator[str]:
    """Yield the lines."""
    yield f"{watched.namespace}/{watched.name}, {_time(past.begin)} to {_time(past.end)}, a look every {past.step} s"
    for trigger in watched.triggers:
        stretches = found.stretches[trigger.name]
        about = _trigger(trigger, past, stretches)
        yield ""
        yield f"{trigger.name} ({trigger.type}, {about['action']}): {_summary(about)}"
        yield from (
            f"  {stamp(stretch.begin)}  {stretch.state:<8}  {_length(stretch):>7}  {stretch.reason}"
            for stretch in stretches
            if stretch.state is not TriggerState.INACTIVE
        )
    yield ""
    yield f"runs, with a cooldown of {_span(watched.cooldown)}: {len(found.runs)}"
    yield from (f"  {stamp(run.at)}  {run.trigger}" for run in found.runs)
    if number := sum(_is_guarded(run, watched) for run in found.runs):
        yield f"whether data were broken then was not looked at: DataQuality may have kept {number} of them from starting"


def _is_guarded(run: Run, watched: Watched) -> bool:
    """Whether a trigger asked for the run that starts nothing while data are broken."""
    return any(trigger.name == run.trigger and trigger.type in GUARDED for trigger in watched.triggers)


def _summary(about: dict[str, Any]) -> str:
    words = [f"fired {about['fired']} time{'' if about['fired'] == 1 else 's'}"]
    if about["unknownRatio"]:
        words.append(f"unknown for {about['unknownRatio']:.0%} of the time")
    if about["expectedFalse"] is not None:
        words.append(f"false alarms to be expected: at most {about['expectedFalse']:.2g}")
    if about["type"] == "manual":
        words.append("only a person makes it fire, which is not replayed")
    return "; ".join(words)


def _trigger(trigger: Trigger, past: Past, stretches: list[Stretch]) -> dict[str, Any]:
    total = past.end - past.begin
    unknown = sum(_seconds(stretch) for stretch in stretches if stretch.state is TriggerState.UNKNOWN)
    days = trigger.expected_days_between_false_triggers or DEFAULT_DAYS
    return {
        "name": trigger.name,
        "type": trigger.type,
        "action": trigger.action or ("Alert" if trigger.type == "drift" else "Retrain"),
        "fired": _fired(stretches),
        "unknownRatio": unknown / total if total else 0.0,
        "expectedFalse": total / _DAY / days if trigger.type in _OF_CHANCE else None,
        "states": [
            {
                "state": stretch.state.value,
                "from": stamp(stretch.begin),
                "to": stamp(stretch.end),
                "reason": stretch.reason,
                "value": stretch.value,
            }
            for stretch in stretches
        ],
    }


def _fired(stretches: list[Stretch]) -> int:
    """Return how often it began to fire. A time without data between two times of firing is no end."""
    known = [stretch.state for stretch in stretches if stretch.state is not TriggerState.UNKNOWN]
    before = [None, *known]
    return sum(state is TriggerState.FIRING and last is not state for last, state in zip(before, known, strict=False))


def _seconds(stretch: Stretch) -> float:
    return (stretch.end - stretch.begin).total_seconds()


def _length(stretch: Stretch) -> str:
    return _span(_seconds(stretch))


def _span(seconds: float) -> str:
    whole = int(seconds)
    days, hours, minutes = whole // _DAY, whole % _DAY // 3600, whole % 3600 // 60
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if count]
    return "".join(parts[:2]) or f"{whole}s"


def _time(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, tz=UTC))
