"""Whether a stored object already is what is wanted."""

from __future__ import annotations

from typing import Any

from tuneloop_api.wire.quantities import amount_of

_ATOMIC = frozenset({"selector", "podSelector", "ingress"})
"""Fields that an apply replaces as a whole: more in there than is wanted changes what they mean, and can be put right."""
_IDENTITIES = ("name", "uid", "mountPath")
"""Fields by which an apply finds the items of a list; what others put beside ours it leaves there, so that it is no difference."""


def covers(stored: Any, wanted: Any) -> bool:
    """Whether each field of `wanted` is in `stored`; the API server adds defaults and writes quantities its own way.

    What an apply could not change is no difference: it would be applied again and again.
    """
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(_has(stored, key, value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(stored, list) and _has_items(stored, wanted)
    return bool(stored == wanted) or _same_quantity(stored, wanted)


def _has(stored: dict[str, Any], key: str, wanted: Any) -> bool:
    return bool(stored.get(key) == wanted) if key in _ATOMIC else covers(stored.get(key), wanted)


def _has_items(stored: list[Any], wanted: list[Any]) -> bool:
    if key := _identity(wanted):
        found = {item.get(key): item for item in stored}
        return all(covers(found.get(item[key]), item) for item in wanted)
    return len(stored) == len(wanted) and all(covers(*pair) for pair in zip(stored, wanted, strict=True))


def _identity(items: list[Any]) -> str | None:
    """Return the field that tells these items apart."""
    return next(
        (key for key in _IDENTITIES if items and all(isinstance(one, dict) and key in one for one in items)), None
    )


def _same_quantity(stored: Any, wanted: Any) -> bool:
    if not (isinstance(stored, str) and isinstance(wanted, str)):
        return False
    amounts = (amount_of(stored), amount_of(wanted))
    return amounts[0] is not None and amounts[0] == amounts[1]
