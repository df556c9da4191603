"""The metrics of the loop of retraining, from the status of a ModelDeployment. Pure.

Whatever the status holds, a deployment has at most `MOST_SERIES` series.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from tuneloop_api.v1alpha1.model_deployment.retraining_status import (
    MOST_TRIGGERS,
    RetrainingBlock,
    RetrainingOutcome,
    RetrainingState,
)
from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerStateWord
from tuneloop_operator.metrics.family import Family

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_TOTALS = 64
_SINGLE, _OF_A_TRIGGER = 5, 2
MOST_SERIES = _SINGLE + _OF_A_TRIGGER * MOST_TRIGGERS + _MOST_TOTALS
"""Of one deployment."""
_NAME = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
"""Of triggers. A status that somebody else wrote may hold any text."""


class RetrainingFamilies:
    """A family for each fact of the loop."""

    def __init__(self) -> None:
        self.all: list[Family] = []
        self._state = self._gauge("retrain_state", "Always 1; where the loop of retraining is.")
        self._blocked = self._gauge("retrain_blocked", "Always 1; why no run starts although a trigger fires.")
        self._trigger_state = self._gauge("retrain_trigger_state", "Always 1; what a trigger last found.")
        self._value = self._gauge("retrain_trigger_value", "What a trigger last measured, in its own unit.")
        self._total = self._family("retrains", "counter", "Runs that ended, by trigger and outcome.")
        self._runs = self._gauge("retrain_budget_remaining_runs", "Runs that the budget still allows.")
        self._seconds = self._gauge(
            "retrain_budget_remaining_gpu_seconds", "Seconds of GPUs that the budget still allows; absent: any."
        )
        self._success = self._gauge(
            "retrain_last_success_timestamp_seconds", "When a model of the loop was last promoted; absent: never."
        )

    def add(self, named: str, loop: dict[str, Any]) -> None:
        """Add the series of one deployment. named: its labels; loop: `status.retraining`."""
        self._state.add(f'{named},state="{_word(loop.get("state"), get_args(RetrainingState))}"', 1)
        if reason := _word(loop.get("blockedReason"), get_args(RetrainingBlock)):
            self._blocked.add(f'{named},reason="{reason}"', 1)
        for trigger in (loop.get("triggers") or ())[:MOST_TRIGGERS]:
            if _NAME.fullmatch(trigger["name"]):
                labels = f'{named},trigger="{trigger["name"]}"'
                state = _word(trigger["state"], get_args(TriggerStateWord))
                self._trigger_state.add(f'{labels},state="{state}"', 1)
                self._value.add(labels, trigger.get("value"))
        for total in (loop.get("totals") or ())[:_MOST_TOTALS]:
            if _NAME.fullmatch(total["trigger"]) and (word := _word(total["outcome"], get_args(RetrainingOutcome))):
                self._total.add(f'{named},trigger="{total["trigger"]}",outcome="{word}"', total["count"])
        budget = loop.get("budget") or {}
        self._runs.add(named, budget.get("runs"))
        self._seconds.add(named, budget.get("gpuSeconds"))
        if success := loop.get("lastSuccessTime"):
            self._success.add(named, datetime.fromisoformat(success).timestamp())

    def _gauge(self, name: str, about: str) -> Family:
        return self._family(name, "gauge", about)

    def _family(self, name: str, kind: str, about: str) -> Family:
        family = Family(f"tuneloop_{name}", kind, about)
        self.all.append(family)
        return family


def _word(text: str | None, allowed: Iterable[str]) -> str:
    return text if text in (*allowed,) else ""
