"""Checks of the fields that a client sends. Each error names the field, the value, what is allowed and an example."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_SHOWN = 60
"""Characters of a value that an error message shows."""


def invalid(message: str, *, field: str | None = None) -> RequestError:
    """Return the error for a request that can be read but is wrong (422). field: path of the field that is wrong."""
    return RequestError(message, status=422, reason="validation", field=field)


def wrong(field: str, value: object, expected: str) -> RequestError:
    """Return the error for a field whose value is not allowed."""
    return invalid(f"{field}: {shown(value)} was given, {expected}", field=field)


def check_known(fields: Mapping[str, object], known: Sequence[str], *, prefix: str = "") -> None:
    """Raise RequestError for a field that is not known. prefix: path of the object that holds the fields, such as `parameters.`."""
    for name in fields:
        if name not in known:
            field = f"{prefix}{shown(name)}"
            raise invalid(f"{field}: is not known; allowed are {', '.join(known)}", field=field)


def choice(field: str, value: object, allowed: Sequence[str]) -> str:
    """Return the value. Raises RequestError unless it is one of the allowed strings."""
    if isinstance(value, str) and value in allowed:
        return value
    raise wrong(field, value, f'allowed are {", ".join(allowed)}; for example "{allowed[0]}"')


def whole_number(field: str, value: object, *, least: int, expected: str) -> int:
    """Return the value. Raises RequestError unless it is a whole number from `least`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise wrong(field, value, expected)


def text_of(field: str, value: object, *, expected: str = "expected a string") -> str:
    """Return the value. Raises RequestError unless it is a string of Unicode characters."""
    if not isinstance(value, str):
        raise wrong(field, value, expected)
    if not _is_unicode(value):
        raise invalid(f"{field}: holds half of a surrogate pair, which is no character", field=field)
    return value


def shown(value: object) -> str:
    """Return a value as JSON in one short line that can be encoded."""
    try:
        text = json.dumps(value)[1:-1] if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
