"""Samples of any model on the wire, made from its fields: a minimal one, and one in which every field is set.

`dev/write_wire_golden.py` runs this file with the code of a release, so that it may know no class of today's code.
"""

from __future__ import annotations

from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

TEXTS = {
    "uri": "hf://acme/reviews",
    "api_version": "tuneloop.dev/v1alpha1",
    "time": "2026-01-31T12:00:00Z",
    "sent_at": "2026-01-31T12:00:00Z",
    "saved_at": "2026-01-31T12:00:00Z",
    "last_transition_time": "2026-01-31T12:00:00Z",
    "sha256": 16 * "9f2c",
    "dataset_digest": 16 * "9f2c",
    "digest": "sha256:" + 16 * "9f2c",
}
"""Texts by the Python name of their field, where any text will not do; all others are their own name."""


def sample(model: Any, *, full: bool) -> dict[str, Any]:
    """Return decoded JSON for a model. `full`: with every optional field, of a choice of fields the first one."""
    return {
        field.alias or name: value_of(field.annotation, name, full=full)
        for name, field in model.model_fields.items()
        if (full or field.is_required()) and not is_ruled_out(model, name)
    }


def is_ruled_out(model: Any, name: str) -> bool:
    """Whether the field may not stand beside another one of its model that is set already."""
    return (model.__name__, name) in {("ServedModel", "fine_tune_job_ref"), ("EvaluateEvery", "epochs")}


def value_of(annotation: Any, name: str, *, full: bool) -> Any:
    """Return a value for a field: a number of its own for each name, so that two fields are not mixed up unnoticed."""
    if hasattr(annotation, "model_fields"):
        return sample(annotation, full=full)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Annotated, Union, UnionType}:
        return value_of(next(argument for argument in arguments if argument is not type(None)), name, full=full)
    if origin is Literal:
        return arguments[-1]
    if origin is list:
        item = value_of(arguments[0], name, full=full)
        return [f"{item}-1", f"{item}-2"] if isinstance(item, str) else [item]
    if origin is dict:
        return {"key": value_of(arguments[1], name, full=full)}
    return plain_value(annotation, name)


def plain_value(kind: Any, name: str) -> Any:
    number = sum(name.encode()) % 97 + 1
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[-1].value
    values = {bool: True, int: number, float: number + 0.5, str: TEXTS.get(name, name.replace("_", "-"))}
    return values.get(kind, f"any-{name}")
