"""Nodes that nothing runs on: objects in the API server, with leases that are renewed so that the node controller believes in them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api_session import ApiSession

_RENEW_SECONDS = 10.0
_LARGE = {"cpu": "1000", "memory": "10Ti", "pods": "100000", "nvidia.com/gpu": "1000"}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class FakeNodes:
    """Made by `create`, kept alive by `keep`; in the event loop of its user."""

    def __init__(self, api: ApiSession, names: Sequence[str]) -> None:
        self._api = api
        self.names = list(names)
        self.lost: set[str] = set()

    async def create(self) -> None:
        """Make the nodes, ready and large."""
        await self._renew()
        for name in self.names:
            await self._create(name, _LARGE)

    async def add(self, name: str, size: Mapping[str, str]) -> None:
        """Make one more node; what its `size` does not name is as large as of the others."""
        self.names.append(name)
        await self._renew_one(name)
        await self._create(name, _LARGE | size)

    async def resize(self, name: str, size: Mapping[str, str]) -> None:
        """Change how much a node has of something, as a device plugin does."""
        patch = {"status": {"capacity": size, "allocatable": size}}
        await self._api.ask("PATCH", f"/api/v1/nodes/{name}/status", patch)

    async def keep(self) -> None:
        """Renew the leases for ever."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._renew()

    async def lose(self, name: str) -> None:
        """End a node's heartbeats, and say at once what the node controller would find out after its grace period."""
        self.lost.add(name)
        await self._say(name, _ready("Unknown", "NodeStatusUnknown"))

    async def restore(self, name: str) -> None:
        """Let a node's heartbeats go on."""
        self.lost.discard(name)
        await self._renew()
        await self._say(name, _ready("True", "KubeletReady"))

    async def remove(self) -> None:
        """Delete the nodes."""
        for name in self.names:
            await self._api.ask("DELETE", f"/api/v1/nodes/{name}", accept={200, 404})

    async def _create(self, name: str, size: Mapping[str, str]) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"capacity": size, "allocatable": size, "conditions": [_ready("True", "KubeletReady")]},
        }
        await self._api.ask("POST", "/api/v1/nodes", manifest, accept={201, 409})

    async def _renew(self) -> None:
        for name in [node for node in self.names if node not in self.lost]:
            await self._renew_one(name)

    async def _renew_one(self, name: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
        query = "?fieldManager=fake-nodes&force=true"
        await self._api.ask("PATCH", f"{_LEASES}/{name}{query}", lease, content="application/apply-patch+yaml")

    async def _say(self, name: str, condition: dict[str, Any]) -> None:
        await self._api.ask("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}})


def _ready(status: str, reason: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": "by the test",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
