"""A claim on a folder of this machine that many pods can mount at once: a PersistentVolume with `hostPath`, bound to its claim by name.

Pod Security `restricted` forbids `hostPath` in pods, not such a claim.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def shared_claim(name: str, folder: Path, *, namespace: str, size: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the PersistentVolume (it keeps the folder when the claim goes) and the claim, ReadWriteMany; `size` is a quantity (`10Gi`)."""
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace, "name": name},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": f"{namespace}-{name}",
            "resources": {"requests": {"storage": size}},
        },
    }
    return volume, claim
