"""The controlling owner of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def owner_of(manifest: Manifest) -> dict[str, Any] | None:
    """Return the reference to the controlling owner."""
    references = manifest["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owner_uid(manifest: Manifest) -> str | None:
    """Return the uid of the controlling owner."""
    owner = owner_of(manifest)
    return owner["uid"] if owner else None
