"""A ModelDeployment with `spec.autoscaling` on the memory cluster. A test plays the autoscaler.

After every write it is checked that the operator has not changed a number of servers that the autoscaler owns.
"""

from __future__ import annotations

from typing import Any

from compared_in_memory import Compared
from routed_in_memory import Manifest

LIMITS = {"min": 2, "max": 8}


class Autoscaled(Compared):
    """The ModelDeployment `api` with an autoscaler in place of a number of servers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        """Servers of each Deployment after the last write."""
        super().__init__()
        self.harness.cluster.watchers.append(self._check_owner)

    async def begin(self, **spec: Any) -> str:
        """Create it with these limits; its first revision has as many servers as there are at least."""
        self.besides = {"autoscaling": LIMITS, "replicas": None} | spec
        metadata = {"name": "api", "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
        spec = {"model": {"uri": "pvc://models/artifact"}} | self.besides
        self.harness.cluster.add(manifest | {"spec": {name: value for name, value in spec.items() if value}})
        await self.settle()
        (revision,) = self.revisions
        await self.ready(revision, LIMITS["min"])
        return revision

    async def autoscale(self, revision: str, count: int) -> None:
        """Let the autoscaler set the number of servers of a revision, and let them answer."""
        assert self.aim == revision, "it owns another revision's number"
        self.set_number(count)
        await self.ready(revision, count)

    def set_number(self, count: int) -> None:
        """Let the autoscaler set the number of servers that it owns."""
        self._numbers[f"api-{self.aim}"] = count
        self.harness.cluster.autoscale(f"api-{self.aim}", count)

    async def settle(self, *, later: float = 0.0) -> None:
        """Let operator and autoscaler do all that they can: the autoscaler keeps its limits."""
        await super().settle(later=later)
        while self.autoscaler is not None and self.aim in self.revisions and (now := self.counts[self.aim]):
            kept = min(max(now, self.limits[0]), self.limits[1])
            if kept == now:
                return
            self.set_number(kept)
            await super().settle()

    async def say(self, **conditions: tuple[str, str, str]) -> None:
        """Let the cluster say what it thinks of the autoscaler: status, reason and message by type."""
        stored = self.harness.cluster.of_kind("HorizontalPodAutoscaler")["api"]
        found = [
            {"type": type_, "status": status, "reason": reason, "message": message}
            for type_, (status, reason, message) in conditions.items()
        ]
        self.harness.cluster.change(stored, status={"conditions": found, "currentReplicas": 3})
        await self.settle()

    @property
    def autoscaler(self) -> dict[str, Any] | None:
        stored = self.harness.cluster.of_kind("HorizontalPodAutoscaler").get("api")
        return stored["spec"] if stored else None

    @property
    def aim(self) -> str:
        """The revision whose number of servers the autoscaler owns; empty: there is none."""
        found = self.autoscaler
        return found["scaleTargetRef"]["name"].removeprefix("api-") if found else ""

    @property
    def limits(self) -> tuple[int, int]:
        assert self.autoscaler is not None
        return self.autoscaler["minReplicas"], self.autoscaler["maxReplicas"]

    def _check_owner(self, type_: str, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        if manifest["kind"] != "Deployment" or type_ == "DELETED":
            self._numbers.pop(name, None)
            return
        before, now = self._numbers.get(name), manifest["spec"]["replicas"]
        if name == f"api-{self.aim}" and before:
            assert now == before, f"the operator wrote {now} in place of the autoscaler's {before}"
        self._numbers[name] = now
