"""Who owns a field of an object, as server-side apply sees it. Pure.

An apply takes back the fields that its manager owned and names no longer. A field that nobody else owns is then gone, and the API server sets
its default: a Deployment gets one pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

FIELD_MANAGER = "tuneloop"
"""Of all writes of the operator but one."""
HANDOVER_MANAGER = "tuneloop-handover"
"""Of the number of a Deployment's pods between the operator and an autoscaler, which owns it once it has changed it."""


def apply_resets_replicas(stored: Manifest, applied: Manifest) -> bool:
    """Whether an apply that names no number of pods would take the number of a Deployment back.

    stored: as it is now, with its managed fields.
    """
    if stored["kind"] != "Deployment" or "replicas" in applied["spec"]:
        return False
    owners = {
        (entry.get("manager"), entry.get("operation"))
        for entry in stored["metadata"].get("managedFields") or ()
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return owners == {(FIELD_MANAGER, "Apply")}
