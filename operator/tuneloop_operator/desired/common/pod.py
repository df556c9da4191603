"""What all our pods share: Pod Security `restricted`, one user, writable scratch folders, the mounted configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_operator.settings.operator import OperatorSettings

CONFIG_DIRECTORY = "/etc/tuneloop"
HOME = "/home/tuneloop"


def scratch_volumes(*, config_map: str) -> list[dict[str, Any]]:
    """Return the volumes for the configuration, /tmp and HOME."""
    return [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
    ]


def scratch_mounts() -> list[dict[str, Any]]:
    """Return the mounts of `scratch_volumes`."""
    return [
        {"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  (an emptyDir of the pod's own)
        {"name": "home", "mountPath": HOME},
    ]


def image_of(reference: str, settings: OperatorSettings, *, policy: str | None = None) -> dict[str, str]:
    """Return the image fields of a container. `policy`: the object's own imagePullPolicy, which wins over the operator's."""
    policy = policy or settings.image_pull_policy
    return {"image": reference} | ({"imagePullPolicy": policy} if policy else {})


def plain_env() -> list[dict[str, Any]]:
    """Return the environment of every container of ours."""
    return [
        {"name": "HOME", "value": HOME},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "value": "1"},
    ]


def pod_security(settings: OperatorSettings) -> dict[str, Any]:
    """Return the pod's security context. Volumes are chowned only if the owner of their root differs, so that large claims start fast."""
    context: dict[str, Any] = {"runAsNonRoot": True, "runAsUser": settings.uid}
    context |= {"runAsGroup": settings.gid, "fsGroup": settings.gid, "fsGroupChangePolicy": "OnRootMismatch"}
    chosen = {name: value for name, value in context.items() if value is not None}
    return chosen | {"seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> dict[str, Any]:
    """Return the container's security context."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
