"""What containers request and may use, and their shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.resources import GPU, PodResources
from tuneloop_api.wire.quantities import memory_bytes

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.common import ResourceAmounts

_SHM = "/dev/shm"  # noqa: S108  (a memory volume of the pod)
_MIB = 2**20
_MOST_SHARED = 64 * 2**30


def container_resources(
    amounts: ResourceAmounts,
    more: PodResources | None = None,
    *,
    gpus: int = 0,
    gpu_resource: str | None = None,
) -> dict[str, Any]:
    """Return a container's resources. Requests equal limits where the object does not say otherwise: such pods are evicted last."""
    more = more or PodResources()
    limits = _given(
        {"cpu": amounts.cpu, "memory": amounts.memory, "ephemeral-storage": more.ephemeral_storage}
        | (more.extended or {})
        | {gpu_resource or GPU: str(gpus) if gpus else None}
    )
    requests = limits | (more.requests.to_wire() if more.requests else {})
    return _given({"requests": requests, "limits": limits})


def half_of_memory(memory: str | None) -> str | None:
    """Return the shared memory of a gang on GPUs whose object does not say: half of the pod's memory, at most 64Gi; None without a limit."""
    if memory is None:
        return None
    size = min(memory_bytes(memory) // 2, _MOST_SHARED)
    return f"{size // _MIB}Mi" if size >= _MIB else str(size)


def shared_memory(size: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the volume of /dev/shm and its mount. None: as much as the pod may use, or half of the node's memory."""
    limit = {"sizeLimit": size} if size else {}
    return {"name": "shm", "emptyDir": {"medium": "Memory"} | limit}, {"name": "shm", "mountPath": _SHM}


def _given(amounts: dict[str, Any]) -> dict[str, Any]:
    return {name: amount for name, amount in amounts.items() if amount}
