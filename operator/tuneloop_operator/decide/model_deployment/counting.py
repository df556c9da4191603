"""Which change of a status may wait: that of counts, while a step of a roll-out goes on. Routers report every few seconds, and each write reaches all who watch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneloop_operator.status.tool_conditions import READY, RECONCILING, STALLED

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.settings.operator import OperatorSettings

_INTERVALS = 2
"""Of a job's progress: 20 s in a cluster, 2 s in local mode."""
_TELLING = frozenset({READY, RECONCILING, STALLED})
"""Conditions whose message is the story of the roll-out, with its counts and the time that is left."""
_NUMBER = re.compile(r"[0-9]+")


def counts_alone_differ(old: dict[str, Any] | None, new: dict[str, Any]) -> bool:
    """Whether a step goes on in both statuses, and they differ in nothing but what was counted and the numbers in sentences."""
    return old is not None and _is_in_a_step(new) and _without_counts(old) == _without_counts(new)


def seconds_to_wait(written: datetime | None, *, now: datetime, settings: OperatorSettings) -> float:
    """Return the seconds until counts may be written again. written: when they last were; None: not by this process."""
    interval = _INTERVALS * settings.progress_interval_seconds
    wait = 0.0 if written is None else interval - (now - written).total_seconds()
    return wait if 0 < wait <= interval else 0.0  # a longer wait means that the clock was set back


def _is_in_a_step(status: dict[str, Any]) -> bool:
    rollout = status.get("rollout") or {}
    return "canary" in rollout and "stepStartedAt" in rollout


def _without_counts(status: dict[str, Any]) -> dict[str, Any]:
    rollout = status.get("rollout") or {}
    gates = [_with_words_alone(gate, "reason") for gate in rollout.get("gates", ())]
    conditions = [
        _with_words_alone(condition, "message") if condition["type"] in _TELLING else condition
        for condition in status.get("conditions", ())
    ]
    rollout = _with_words_alone(rollout, "message") | {"requests": None, "gates": gates}
    return status | {"conditions": conditions, "rollout": rollout}


def _with_words_alone(block: dict[str, Any], field: str) -> dict[str, Any]:
    """Return a block whose sentence has no numbers. Another sentence is news, another number in it is none."""
    return block | {field: _NUMBER.sub("", block.get(field, ""))}
