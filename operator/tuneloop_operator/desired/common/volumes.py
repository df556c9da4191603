"""The volumes of an object: Secrets, ConfigMaps, claims, and volumes of CSI drivers. A Secret is a name here; only the kubelet reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.pod_volumes import refused_volumes

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.pod_volumes import Volume
    from tuneloop_api.v1alpha1.pods import PodOptions


def given_volumes(options: PodOptions) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the volumes of a pod that the object asks for, and its container's mounts."""
    volumes = options.volumes or []
    # such a volume is refused; a stored object may have it all the same
    refused = {refusal.number for refusal in refused_volumes(volumes)}
    kept = [volume for number, volume in enumerate(volumes) if number not in refused]
    return list(map(_volume, kept)), list(map(_mount, kept))


def _volume(volume: Volume) -> dict[str, Any]:
    wire = volume.to_wire()
    source = {name: wire[name] for name in wire if name not in {"name", "mountPath", "readOnly"}}
    if volume.persistent_volume_claim is not None and _is_read_only(volume):
        source["persistentVolumeClaim"] = volume.persistent_volume_claim | {"readOnly": True}
    return {"name": volume.name} | source


def _mount(volume: Volume) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": volume.name, "mountPath": volume.mount_path}
    return mount | ({"readOnly": True} if _is_read_only(volume) else {})


def _is_read_only(volume: Volume) -> bool:
    return volume.read_only is not False
