"""What is remembered of a trigger between two looks. It is stored in the status, so times are whole seconds. Data only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger

_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Share:
    """Right answers among labels."""

    right: float
    labels: float


@dataclass(frozen=True, kw_only=True)
class TriggerMemory:
    """Of one trigger. At first there is none but the name."""

    name: str
    fields: str = ""
    """Digest of the trigger's fields. Other fields are another trigger."""
    revision: str = ""
    """The stable revision that was judged. What was found of another one is forgotten."""
    state: TriggerState = TriggerState.INACTIVE
    since: datetime | None = None
    """Begin of the state; None: none was reported."""
    beyond_since: datetime | None = None
    """First number of the unbroken row beyond the limit."""
    clear_since: datetime | None = None
    """First number of the unbroken row that is back, of a trigger that fires."""
    read_at: datetime | None = None
    """Newest number that counted; None where the next number counts whenever it comes."""
    fired_key: str = ""
    """Key of what the trigger fires on; empty: it does not fire."""
    baseline: Share | None = None
    """Of accuracy: the first labels of the revision."""
    slot: datetime | None = None
    """Of a schedule: the newest time that has come."""
    shown_at: datetime | None = None
    """When what it says was last written for people."""
    token: str | None = None
    """Of a manual trigger: digest of the token that asks for nothing any more; None: not looked at yet."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a trigger has found, and what it remembers."""

    verdict: TriggerVerdict
    memory: TriggerMemory


def begun(trigger: Trigger, memory: TriggerMemory | None, *, revision: str) -> TriggerMemory:
    """Return the memory to go on with: that of these fields and this revision, or an empty one."""
    fields = fields_of(trigger)
    if memory is None or memory.name != trigger.name or memory.revision != revision:
        return TriggerMemory(name=trigger.name, fields=fields, revision=revision)
    if memory.fields != fields:
        return TriggerMemory(name=trigger.name, fields=fields, revision=revision, baseline=memory.baseline)
    return memory


def anew(memory: TriggerMemory) -> TriggerMemory:
    """Return the memory without the numbers that counted, such as those of data that were broken. The baseline is older than they are."""
    return replace(memory, beyond_since=None, clear_since=None, fired_key="")


def fields_of(trigger: Trigger) -> str:
    """Return the digest of what a trigger watches."""
    given = trigger.to_wire()
    return digest_of({name: given[name] for name in given if name not in {"name", "action"}})[:_KEY_DIGITS]


def key_of(memory: TriggerMemory, *what: str | int) -> str:
    """Return the key of what a trigger fires on."""
    return digest_of([memory.name, memory.fields, *what])[:_KEY_DIGITS]


def reported(
    trigger: Trigger,
    memory: TriggerMemory,
    state: TriggerState,
    reason: str,
    *,
    now: datetime,
    value: float | None = None,
    threshold: float | None = None,
) -> Judged:
    """Return the verdict, and the memory that knows since when the state lasts."""
    is_same = memory.state is state and memory.since is not None
    since = memory.since if is_same and memory.since is not None else now.replace(microsecond=0)
    verdict = TriggerVerdict(
        name=trigger.name,
        type=trigger.type,
        action=trigger.action or ("Alert" if trigger.type == "drift" else "Retrain"),
        state=state,
        reason=reason,
        value=value,
        threshold=threshold,
        since=since,
        key=memory.fired_key if state is TriggerState.FIRING else "",
    )
    return Judged(verdict=verdict, memory=replace(memory, state=state, since=since))
