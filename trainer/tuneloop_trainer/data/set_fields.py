"""What of a settings block was set: the part that a digest may be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel


def set_fields(block: BaseModel, *names: str) -> dict[str, Any]:
    """Return the fields of a block that were set, as JSON data with the wire's names; only `names` (Python's), where some are given.

    Defaults are left out, so that a new field with a default changes no digest.
    """
    return block.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude_none=True, include=set(names) if names else None
    )
