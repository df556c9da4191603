"""Conditions over several fields of a model, written once: the text for people, the check in Python, and its twin in CEL.

A model lists its rules beside its fields (`rules = (...)`). The models run the Python side; `crd` writes the CEL side into the CRD, where
the API server runs it. The contract tests hold the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Callable


_CEL_WORDS = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop", "namespace", "null", "package", "return", "true", "var",
    "void", "while",
})  # fmt: skip
EXAMPLE = "; for example "
"""Text before the example in a message. Where the given value is known, the message shows the value before this text."""


def in_cel(name: str) -> str:
    """Return a field's name on the wire as CEL writes it: a word of CEL's own stands between underscores (Kubernetes, "Validation rules")."""
    return f"__{name}__" if name in _CEL_WORDS else name


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One condition that every instance of a model meets."""

    cel: str
    """The condition in CEL; `self` is the object."""
    holds: Callable[[Any], bool]
    """The same condition on the model's instance, in which no field alone is wrong any more."""
    message: str
    """What is allowed, and why; shown behind the path of `field`, or of the object."""
    field: str | None = None
    """The wrong field's name on the wire, or its dotted path; None where no single field is wrong."""
    reason: str = "FieldValueInvalid"
    """FieldValueInvalid, or FieldValueForbidden where the field must not be there at all."""


def exactly_one(*fields: str) -> Rule:
    """Exactly one of these optional fields (Python names) is given."""
    names = [to_camel(field) for field in fields]
    return Rule(
        cel=f"[{', '.join(f'has(self.{name})' for name in names)}].exists_one(given, given)",
        holds=lambda model: sum(getattr(model, field) is not None for field in fields) == 1,
        message=f"exactly one of {', '.join(names[:-1])} and {names[-1]} must be given",
    )


def not_together(first: str, second: str) -> Rule:
    """At most one of two optional fields (Python names) is given; a message names the second as wrong."""
    allowed, refused = to_camel(first), to_camel(second)
    return Rule(
        field=refused,
        reason="FieldValueForbidden",
        cel=f"!(has(self.{allowed}) && has(self.{refused}))",
        holds=lambda model: getattr(model, first) is None or getattr(model, second) is None,
        message=f"cannot be combined with {allowed}; leave one of the two out",
    )


def applies_only(field: str, *, to: str, holds: Callable[[Any], bool], cel: str, hint: str = "") -> Rule:
    """An optional field (Python name) may be given only where a condition holds; `to` says it in words, such as `type: lora`."""
    name = to_camel(field)
    return Rule(
        field=name,
        reason="FieldValueForbidden",
        cel=f"!has(self.{name}) || {cel}",
        holds=lambda model: getattr(model, field) is None or holds(model),
        message=f"applies only to {to}{f' ({hint})' if hint else ''}",
    )
