"""Variables that a cluster reads from a Secret or ConfigMap: one machine takes them from the environment of the command. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_api.wire.object_credentials import CREDENTIALS
from tuneloop_api.wire.uris import object_path
from tuneloop_cli.local import api_keys
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KINDS = ("secretKeyRef", "configMapKeyRef")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A variable of a spec whose value stands elsewhere."""

    field: str
    variable: str
    is_optional: bool


def notes(spec: Mapping[str, Any]) -> list[str]:
    """Return one sentence about the variables that are taken from the environment of the command; nothing if there are none."""
    found = list(_references(spec))
    if not found:
        return []
    fields, names = ", ".join(item.field for item in found), ", ".join(item.variable for item in found)
    return [f"{fields}: no Secret or ConfigMap is read, the environment of this command gives {names}"]


def missing(spec: Mapping[str, Any], environment: Mapping[str, str]) -> list[Refusal]:
    """Return a refusal for each variable that the environment of the command does not have."""
    return [
        Refusal(
            reason="VariableMissing",
            field=found.field,
            given=f"no variable {found.variable} in the environment of this command",
            allowed="no Secret or ConfigMap is read on one machine: the variable of this name is taken in its place",
            example=f"export {found.variable}=…",
        )
        for found in _references(spec)
        if not found.is_optional and found.variable not in environment
    ]


def blocks_with_secrets(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the blocks of model and sources that name a Secret, each with its field."""
    data, beside = spec.get("data") or {}, (spec.get("evaluation") or {}).get("compareWith") or {}
    lists = {f"spec.data.{name}": data.get(name) for name in ("train", "validation", "test")}
    lists["spec.evaluation.compareWith.recent"] = beside.get("recent")
    blocks = {"spec.model": spec.get("model") or {}} | {
        f"{field}[{number}]": source for field, sources in lists.items() for number, source in enumerate(sources or ())
    }
    yield from ((field, block) for field, block in blocks.items() if block.get("secretRef"))


def _references(spec: Mapping[str, Any]) -> Iterator[Reference]:
    for field, block in blocks_with_secrets(spec):
        place = object_path(str(block.get("uri")))
        for name in (HUB_TOKEN,) if place is None else CREDENTIALS[place.scheme].required:
            yield Reference(field=f"{field}.secretRef", variable=name, is_optional=False)
    storage = (spec.get("feedback") or {}).get("storage") or {}
    if storage.get("secretRef") and (place := object_path(str(storage.get("uri")))):
        for name in CREDENTIALS[place.scheme].required:
            yield Reference(field="spec.feedback.storage.secretRef", variable=name, is_optional=False)
    if api_keys.needs_keys(spec):
        yield Reference(field=api_keys.FIELD, variable=api_keys.VARIABLE, is_optional=False)
    for number, variable in enumerate(spec.get("env") or ()):
        for kind in _KINDS:
            if reference := variable.get(kind):
                yield Reference(
                    field=f"spec.env[{number}].{kind}",
                    variable=variable["name"],
                    is_optional=bool(reference.get("optional")),
                )
