"""Reads JSON that a client sends: the object, and the texts in it. What a protocol's fields mean is the protocol's."""

from __future__ import annotations

import json

from tuneloop_server.errors import RequestError
from tuneloop_server.fields import invalid, text_of, wrong


def json_object(body: bytes, *, example: str) -> dict[str, object]:
    """Return the object that a body holds. Raises RequestError: 400 if it is not JSON, 422 if it is no object. example: ends the message."""
    try:
        document = json.loads(body)
    except RecursionError:
        raise RequestError("the body is nested too deeply to be read", status=400, reason="validation") from None
    except ValueError as error:
        message = f"the body is not JSON ({error}); {example}"
        raise RequestError(message, status=400, reason="validation") from error
    if not isinstance(document, dict):
        raise wrong("the body", document, f"expected an object, {example}")
    return document


def texts_of(field: str, values: list[object]) -> list[str]:
    """Return the texts of a list, at least one. Raises RequestError naming the element that is wrong."""
    require_texts(field, values)
    return [text_of(f"{field}[{index}]", value) for index, value in enumerate(values)]


def require_texts(field: str, values: list[object]) -> None:
    """Raise RequestError for an empty list."""
    if not values:
        raise invalid(f"{field}: is an empty list; at least one text is needed", field=field)
