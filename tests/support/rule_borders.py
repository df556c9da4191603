"""What the tests of rules at their borders share."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tuneloop_api.wire.model import SpecModel

Given = dict[str, Any]
READ: Given = {"uri": "pvc://models/reviews.csv"}
COMPARED: Given = {"evaluation": {"compareWith": {"uri": "pvc://models/served"}}}


def wrong_fields(model: type[SpecModel], given: Given) -> list[str]:
    """Return the paths of the fields that are called wrong."""
    try:
        model.from_wire(given)
    except ValidationError as error:
        return [".".join(map(str, details["loc"])) for details in error.errors()]
    return []
