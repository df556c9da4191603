"""The trigger that is a person: the annotation `tuneloop.dev/retrain` has another value. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import key_of, reported
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger
    from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading, TriggerQuery
    from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import Judged, TriggerMemory


def queries(trigger: Trigger, about: About, now: datetime) -> tuple[TriggerQuery, ...]:  # noqa: ARG001  (as all triggers)
    """Return nothing: the annotation is all."""
    return ()


def judge(
    trigger: Trigger,
    memory: TriggerMemory,
    readings: Mapping[str, Reading],  # noqa: ARG001  (as all triggers)
    about: About,
    now: datetime,
) -> Judged:
    """Return whether there is a token that no run has answered. The token of the first look asks for nothing: it may be as old as the manifest."""
    token = digest_of(about.token)[:16] if about.token else ""
    key = key_of(memory, token)
    if memory.token is None or key in about.handled or not token:
        memory = replace(memory, token=token)
    if token == memory.token:
        return reported(trigger, replace(memory, fired_key=""), TriggerState.INACTIVE, "no token is new", now=now)
    return reported(
        trigger, replace(memory, fired_key=key), TriggerState.FIRING, "the annotation has a new token", now=now
    )
