"""A stored object that does not fit its model: it was written under a newer CRD, or past the schema.

Nothing is decided for such an object. Its status says which field does not fit; its children are left alone until the object changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel

from tuneloop_operator.decide.decision import Decision, Event
from tuneloop_operator.state.conditions import stamp
from tuneloop_operator.status.tool_conditions import RECONCILING, STALLED, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.state.observed import Blocker

_UNKNOWN = "extra_forbidden"
_MOST_SHOWN = 5
_LONGEST_VALUE = 100
_ADVICE = "Nothing is changed until the object fits: correct it, or upgrade the operator."


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Why an object does not fit its model."""

    reason: Literal["UnknownField", "InvalidField"]
    """UnknownField if the first problem is a field that the model does not have."""
    message: str
    """One line for each problem: field path, value, what is allowed."""


def decide_unreadable(
    manifest: Manifest, error: ValidationError, *, model: type[BaseModel], blocker: Blocker | None, now: datetime
) -> Decision:
    """Return a decision that writes Accepted=False and Stalled=True, with an event the first time; empty if the status says so already.

    The rest of the stored status stays as it is, whether it fits or not. If the API server refused that (the blocker), the values that do
    not fit are left out.
    """
    if manifest["metadata"].get("deletionTimestamp"):
        return Decision()
    problems = problems_of(error, model=model)
    message = f"{problems.message}\n{_ADVICE}"
    stored = _mapping(manifest.get("status"))
    status = stored if blocker is None else _without(stored, (details["loc"] for details in error.errors()))
    accepted = _condition(stored, "Accepted", status="False", reason=problems.reason, message=message, now=now)
    stalled = _condition(stored, STALLED, status="True", reason=problems.reason, message=short(message), now=now)
    ours = {"Accepted", RECONCILING, STALLED}
    others = [item for item in _items(status.get("conditions")) if item.get("type") not in ours]
    new = status | {"phase": status.get("phase", "Pending"), "conditions": [accepted, *others, stalled]}
    new |= {"observedGeneration": generation} if (generation := manifest["metadata"].get("generation")) else {}
    if new == stored and blocker is None:
        return Decision()
    event = Event(type="Warning", reason=problems.reason, message=problems.message)
    return Decision(status=new, events=() if accepted in _items(stored.get("conditions")) else (event,))


def _condition(
    stored: dict[str, Any], type_: str, *, status: str, reason: str, message: str, now: datetime
) -> dict[str, Any]:
    """Return a condition for the stored status; its transition time changes only when its status does."""
    before = next((item for item in _items(stored.get("conditions")) if item.get("type") == type_), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or stamp(now),
    }


def problems_of(error: ValidationError, *, model: type[BaseModel]) -> Problems:
    """Return the problems of an object that `model` could not read."""
    errors = error.errors(include_url=False, include_context=False)
    lines = [_sentence(details, model=model) for details in errors[:_MOST_SHOWN]]
    if len(errors) > _MOST_SHOWN:
        lines.append(f"and {len(errors) - _MOST_SHOWN} more")
    reason: Literal["UnknownField", "InvalidField"] = "InvalidField"
    if errors[0]["type"] == _UNKNOWN:
        reason = "UnknownField"
    return Problems(reason=reason, message="\n".join(lines))


def _sentence(details: ErrorDetails, *, model: type[BaseModel]) -> str:
    path, value = _dotted(details["loc"]), _shown(details["input"])
    if details["type"] == _UNKNOWN:
        known = ", ".join(_fields_beside(model, details["loc"]))
        return f"{path}: found {value}; this version of the operator knows no such field; allowed here are {known}"
    if details["type"] == "missing":
        return f"{path}: found nothing; the field is required"
    text = details["msg"]
    return f"{path}: found {value}; {text[:1].lower()}{text[1:]}"


def _fields_beside(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the fields that the model allows where the last part of the location stands."""
    models = [model]
    for part in location[:-1]:
        fields = [field for candidate in models for field in candidate.model_fields.values() if field.alias == part]
        # a part that is no field is the index of a list, or the name of a union's member
        models = [found for field in fields for found in _models_in(field.annotation)] or models
    return sorted({field.alias or name for found in models for name, field in found.model_fields.items()})


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _without(status: dict[str, Any], locations: Iterable[Sequence[int | str]]) -> dict[str, Any]:
    """Return the status without the values at these locations of the object."""
    copied: dict[str, Any] = _copied(status)
    for location in locations:
        place: Any = {"status": copied}
        for part in location[:-1]:
            place = _child(place, part)
        if isinstance(place, dict) and location[0] == "status" and len(location) > 1:
            place.pop(location[-1], None)
    return copied


def _child(place: Any, part: int | str) -> Any:
    if isinstance(place, list) and isinstance(part, int) and part < len(place):
        return place[part]
    return place.get(part) if isinstance(place, dict) else None


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dotted(location: Sequence[int | str]) -> str:
    """Return a location such as `spec.data.train[0].uri`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
