"""Says what is wrong with a manifest: where (file, line, field path), what was found, what is allowed, an example. Pure."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.common import ObjectMeta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]

EXAMPLES = {
    "uri": "pvc://CLAIM/PATH, hf://ORG/NAME or file:///PATH",
    "duration": "30s, 10m or 1h30m",
    "cpu": "500m or 4",
    "memory": "16Gi",
    "train": "[{uri: pvc://demo/reviews.csv}]",
    "model": "{uri: hf://ORG/NAME}",
    "data": "{train: [{uri: pvc://demo/reviews.csv}]}",
    "names": "[negative, positive]",
    "learningRate": "2e-4",
    "fineTuneJobRef": "{name: reviews}",
    "metadata": "{name: reviews}",
}

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


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    file: str
    line: int | None
    path: str
    """Field path such as `spec.training.learningRate`; empty for the file as a whole."""
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ManifestError(Exception):
    """Manifests that cannot be used; `problems` says all that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def describe_error(error: ErrorDetails, model: type[BaseModel]) -> tuple[Path, str]:
    """Return the field path and the sentence for one pydantic error of `model`."""
    path: Path = tuple(error["loc"])
    schema = model.model_json_schema(by_alias=True)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known = _metadata_fields() if path[:-1] == ("metadata",) else _properties(schema, path[:-1])
        return path, _unknown_field(str(path[-1]), known)
    if kind == "missing":
        return path, f"is required{_example(path)}"
    if kind == "rule":
        given = error["input"]
        shown = not isinstance(given, dict | list | None)
        return path, f"{error['msg']}; got {_show(given)}" if shown else error["msg"]
    found = f"{_show(error['input'])} is not allowed"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return path, f"{found}; must be one of {', '.join(allowed)}{_nearest(str(error['input']), allowed)}"
    if kind in _TYPES:
        return path, f"{found}; must be {_TYPES[kind]}{_example(path)}"
    return path, f"{found}; {_bound(kind, context, error['msg'])}{_example(path)}"


def dotted(path: Path) -> str:
    """Return `spec.data.train[0].uri` for its parts."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _unknown_field(name: str, known: Sequence[str]) -> str:
    return f"unknown field{_nearest(name, known)}; known here: {', '.join(sorted(known))}"


def _nearest(name: str, known: Sequence[str]) -> str:
    by_case = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.6)
    return f"; did you mean {by_case[close[0]]}?" if close else ""


def _example(path: Path) -> str:
    name = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    example = EXAMPLES.get("duration" if name in {"every", "gracePeriod", "startup", "drain"} else name)
    return f". Example: {name}: {example}" if example else ""


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
    return _BOUNDS[kind].format(**context) if kind in _BOUNDS else message[0].lower() + message[1:]


def _show(value: Any) -> str:
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 80 else f"{text[:77]}…"


def _metadata_fields() -> list[str]:
    return [str(field.alias) for field in ObjectMeta.model_fields.values()]


def _properties(schema: dict[str, Any], path: Path) -> list[str]:
    node = schema
    for part in path:
        node = _resolve(schema, node)
        node = node["items"] if isinstance(part, int) else node["properties"][part]
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref`, and the one branch of `anyOf` that is not null."""
    while "properties" not in node and "items" not in node:
        options = [option for option in node.get("anyOf", []) if option != {"type": "null"}]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        elif options:
            node = options[0]
        else:
            break
    return node
