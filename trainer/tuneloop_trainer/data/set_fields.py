"""The part of a settings block that a digest is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


def set_fields(block: BaseModel, *names: str) -> dict[str, Any]:
    """Return the fields of a block that were set, as JSON data with the wire's names; only `names` (Python's), where some are given.

    A field counts as set where it differs from its default, as in the identity of a run: a new field with a default changes no digest,
    and a default that is written out means the same as no field.
    """
    return block.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude_none=True, include=set(names) if names else None
    )
