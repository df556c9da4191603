"""Whether a stored object has all desired fields, and none that the operator no longer gives it."""

from __future__ import annotations

from typing import Any

from tuneloop_api.wire.quantities import amount_of
from tuneloop_operator.names import POD_DEFAULTS

_ATOMIC = frozenset({"selector", "podSelector", "ingress", "egress"})
"""Fields that an apply replaces as a whole. An additional entry in them changes their meaning, and an apply removes it."""
_IDENTITIES = ("mountPath", "name", "uid")
"""Fields by which an apply finds the items of a list. Items of other owners stay in place, so that they are no difference. A mount also has the name of its volume, which two mounts may share."""


def is_current(stored: Any, desired: dict[str, Any]) -> bool:
    """Whether an apply would change nothing. A field that is no longer desired is known by the digest of the chart's defaults alone."""
    return covers(stored, desired) and _defaults(stored) == _defaults(desired)


def _defaults(manifest: dict[str, Any]) -> str | None:
    return (manifest["metadata"].get("annotations") or {}).get(POD_DEFAULTS)


def covers(stored: Any, desired: Any) -> bool:
    """Whether each field of `desired` is in `stored`. The API server adds defaults and rewrites quantities.

    A difference that an apply cannot remove does not count: it would be applied again and again.
    """
    if isinstance(desired, dict):
        return isinstance(stored, dict) and all(_has(stored, key, value) for key, value in desired.items())
    if isinstance(desired, list):
        return isinstance(stored, list) and _has_items(stored, desired)
    return bool(stored == desired) or _same_quantity(stored, desired)


def _has(stored: dict[str, Any], key: str, desired: Any) -> bool:
    return bool(stored.get(key) == desired) if key in _ATOMIC else covers(stored.get(key), desired)


def _has_items(stored: list[Any], desired: list[Any]) -> bool:
    if key := _identity(desired):
        found = {item.get(key): item for item in stored}
        return all(covers(found.get(item[key]), item) for item in desired)
    return len(stored) == len(desired) and all(covers(*pair) for pair in zip(stored, desired, strict=True))


def _identity(items: list[Any]) -> str | None:
    """Return the field that identifies these items; None if there is none."""
    return next(
        (key for key in _IDENTITIES if items and all(isinstance(item, dict) and key in item for item in items)), None
    )


def _same_quantity(stored: Any, desired: Any) -> bool:
    if not (isinstance(stored, str) and isinstance(desired, str)):
        return False
    amounts = (amount_of(stored), amount_of(desired))
    return amounts[0] is not None and amounts[0] == amounts[1]
