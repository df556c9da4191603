"""The memory of a trigger in the status: every field goes there and comes back."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from trigger_walks import BEGAN, FIRING

from tuneloop_api.v1alpha1.model_deployment.trigger_status import TriggerMemoryStatus
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Share, TriggerMemory
from tuneloop_operator.decide.model_deployment.retraining.triggers.records import read_trigger, written_trigger

WHOLE = TriggerMemory(
    name="watch",
    fields="0123456789abcdef",
    revision="7d1f0b2c",
    state=FIRING,
    since=BEGAN,
    beyond_since=BEGAN + timedelta(seconds=1),
    clear_since=BEGAN + timedelta(seconds=2),
    read_at=BEGAN + timedelta(seconds=3),
    fired_key="fedcba9876543210",
    baseline=Share(right=950.5, labels=1000.25),
    slot=BEGAN + timedelta(seconds=4),
    shown_at=BEGAN + timedelta(seconds=4),
    token="",
)


def back_from_json(memory: TriggerMemory) -> TriggerMemory:
    as_json = written_trigger(memory).model_dump_json(by_alias=True, exclude_none=True)
    return read_trigger(TriggerMemoryStatus.model_validate_json(as_json))


def test_every_field_comes_back():
    empty = TriggerMemory(name="watch")
    assert [field.name for field in fields(WHOLE) if getattr(WHOLE, field.name) == getattr(empty, field.name)] == [
        "name"
    ]
    assert back_from_json(WHOLE) == WHOLE


def test_a_memory_without_anything_comes_back():
    assert back_from_json(TriggerMemory(name="watch")) == TriggerMemory(name="watch")
