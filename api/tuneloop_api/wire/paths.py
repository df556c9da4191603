"""Reads and sets values in decoded JSON by dotted paths, such as `training.learningRate`."""

from __future__ import annotations

from typing import Any


def value_at(data: dict[str, Any], path: str) -> Any:
    """Return the value at a path; None where it is missing."""
    found: Any = data
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def with_value(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the data with a value at a path; None removes it. Objects on the way are made, and the data given stays as it is."""
    name, _, rest = path.partition(".")
    if rest:
        value = with_value(data.get(name) or {}, rest, value)
    return {key: kept for key, kept in data.items() if key != name} | ({} if value is None else {name: value})
