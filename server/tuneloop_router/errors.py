"""What can go wrong.

RouterError
├── CannotRun      the process ends: one line on stderr and exit code 2
├── BadMessage     a document has a value that is not allowed; nothing of it is used
├── Refused        Envoy did not take a configuration; the one before stays in force
└── Unreachable    the operator gave no answer that can be used; it is asked again
"""

from __future__ import annotations

import json

MISSING = object()
"""Stands for the value of a field that is not there."""
_LONGEST_VALUE = 80
"""Characters of a bad value that an error shows."""


class RouterError(Exception):
    """Base of all errors of the router."""


class CannotRun(RouterError):  # noqa: N818  (named for what it means)
    """The router cannot start. The text is one line that a user can act on."""


class BadMessage(RouterError):  # noqa: N818  (as above)
    """A field has a value that is not allowed. The text names field, value, what is allowed, and an example; it is ASCII."""

    def __init__(self, field: str, value: object, *, allowed: str, example: object) -> None:
        super().__init__(f"{field} is {shown(value)}; allowed: {allowed}; example: {json.dumps(example)}")
        self.field = field


class Refused(RouterError):  # noqa: N818
    """Envoy did not take a configuration."""


class Unreachable(RouterError):  # noqa: N818
    """The operator cannot be reached, is not the one that is trusted, or answers with an error."""


def shown(value: object) -> str:
    """Return a value of a JSON document as short ASCII text without control characters."""
    if value is MISSING:
        return "missing"
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = json.dumps(value[:_LONGEST_VALUE] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
