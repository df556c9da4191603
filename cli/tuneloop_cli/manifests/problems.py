"""Explains the problems of a manifest: file, line and field path, the value found, the values allowed, an example. Pure."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.common import ObjectMeta
from tuneloop_api.wire.rules import EXAMPLE
from tuneloop_api.wire.text_formats import TEXT_FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]

EXAMPLES = {"metadata": "{name: reviews}", "name": "reviews"}
"""Examples for fields of Kubernetes. The example of any other field stands in its description (`For example`)."""

_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}

_INSTEAD = {
    "valueFrom": "write secretKeyRef or configMapKeyRef beside name",
    "hostPath": "pods get no folder of their node; put the files on a claim",
}
"""What to do in place of a field that pods of Kubernetes have and ours do not."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a manifest."""

    file: str
    line: int | None
    path: str
    """Field path such as `spec.training.learningRate`; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ManifestError(Exception):
    """Manifests that cannot be used; `problems` holds every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def describe_error(error: ErrorDetails, model: type[BaseModel]) -> tuple[Path, str]:
    """Return the field path and the sentence for one pydantic error of `model`."""
    path: Path = tuple(error["loc"])
    schema = _schema(model)
    if error["type"] == "extra_forbidden":
        known = _metadata_fields() if path[:-1] == ("metadata",) else _properties(schema, path[:-1])
        return path, _unknown_field(str(path[-1]), known)
    if error["type"] == "missing":
        return path, f"is required{_example(schema, path)}"
    if error["type"] == "rule":
        return path, broken_rule(error["msg"], given=error["input"])
    return path, f"{_show(error['input'])} is not allowed; {_allowed(error, schema)}"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a kind, to be read only. Making it takes longer than all checks of a manifest."""
    return model.model_json_schema(by_alias=True)


def broken_rule(message: str, *, given: Any) -> str:
    """Return the sentence for a rule that does not hold. message: that of the rule, with its example."""
    sentence, _, example = message.partition(EXAMPLE)
    found = "" if isinstance(given, dict | list | None) else f"; got {_show(given)}"
    return sentence + found + (f". Example: {example}" if example else "")


def _allowed(error: ErrorDetails, schema: dict[str, Any]) -> str:
    """Return the part of the sentence that says which values are allowed."""
    path, kind, context = tuple(error["loc"]), error["type"], error.get("ctx", {})
    example = _example(schema, path)
    if kind == "literal_error":
        allowed = _choices(_node(schema, path), context["expected"])
        nearest = _nearest(str(error["input"]), allowed)
        return f"must be one of {', '.join(allowed)}{nearest or example}"
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}{example}"
    if kind == "string_pattern_mismatch" and (text_format := TEXT_FORMATS.get(context["pattern"])):
        return f"{text_format.allowed}{_odd_character(error['input'])}{example or f'. Example: {text_format.example}'}"
    return f"{_bound(kind, context, error['msg'])}{_range(_node(schema, path))}{example}"


def dotted(path: Path) -> str:
    """Return `spec.data.train[0].uri` for its parts."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _unknown_field(name: str, known: Sequence[str]) -> str:
    advice = f"; {_INSTEAD[name]}" if name in _INSTEAD else _nearest(name, known)
    return f"unknown field{advice}; known here: {', '.join(sorted(known))}"


def _nearest(name: str, known: Sequence[str]) -> str:
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.6)
    return f"; did you mean {by_case[close[0]]}?" if close else ""


def _choices(node: dict[str, Any] | None, expected: str) -> list[str]:
    """Return the values of a Literal as a manifest writes them; `expected` is pydantic's list, for a value without a schema."""
    if node is None:
        return re.findall(r"[^', ]+", expected.replace(" or ", ", "))
    values = node.get("enum", [node.get("const")])
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _example(schema: dict[str, Any], path: Path) -> str:
    """Return the example in the description of the field at `path`; for an item of a list, that of the list."""
    named = path
    while named and isinstance(named[-1], int):
        named = named[:-1]
    if not named:
        return ""
    written = re.search(r"For example `([^`]+)`", str((_node(schema, named) or {}).get("description", "")))
    example = written[1] if written else EXAMPLES.get(str(named[-1]) if named[0] == "metadata" else "")
    return f". Example: {named[-1]}: {example}" if example else ""


def _odd_character(text: Any) -> str:
    """Return a note on the first character that is not printable ASCII: it may be invisible, and the only thing that is wrong."""
    odd = next((place for place, letter in enumerate(text) if not letter.isascii() or not letter.isprintable()), None)
    if odd is None:
        return ""
    return f" (character {odd + 1} is U+{ord(text[odd]):04X} {unicodedata.name(text[odd], 'CONTROL')})"


def _range(node: dict[str, Any] | None) -> str:
    """Return both ends of a number's range; pydantic's error names only the end that was crossed."""
    if node is None or node.get("type") not in {"integer", "number"}:
        return ""
    low = next((f"{words} {node[key]}" for key, words in _LOWER.items() if key in node), "")
    high = next((f"{words} {node[key]}" for key, words in _UPPER.items() if key in node), "")
    return f" (allowed: {low} and {high})" if low and high else ""


_LOWER = {"minimum": "at least", "exclusiveMinimum": "more than"}
_UPPER = {"maximum": "at most", "exclusiveMaximum": "less than"}
_BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


def _bound(kind: str, context: dict[str, Any], message: str) -> str:
    numbers = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return _BOUNDS[kind].format(**numbers) if kind in _BOUNDS else message[0].lower() + message[1:]


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else f"{text[:77]}…"


def _metadata_fields() -> list[str]:
    return [str(field.alias) for field in ObjectMeta.model_fields.values()]


def _properties(schema: dict[str, Any], path: Path) -> list[str]:
    return list((_node(schema, path) or {}).get("properties", {}))


def _node(schema: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """Return the JSON Schema of the value at `path`, with the description of its field; None if the path has no schema."""
    node: dict[str, Any] | None = schema
    for part in path:
        inside = _resolve(schema, node or {})
        node = inside.get("items") if isinstance(part, int) else inside.get("properties", {}).get(part)
    if node is None:
        return None
    return _resolve(schema, node) | ({"description": node["description"]} if "description" in node else {})


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref`, and the branch of `anyOf` that is not null."""
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        else:
            node = next(option for option in node["anyOf"] if option != {"type": "null"})
    return node
