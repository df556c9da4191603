"""A ModelDeployment with `spec.rollout` on the memory cluster, whose servers a test lets come and go."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


class Deployed:
    """The ModelDeployment `api`, and the servers that the test lets come and go."""

    def __init__(self, harness: OperatorHarness) -> None:
        self.harness = harness
        self.besides: dict[str, Any] = {}
        """Further fields of the spec that it is created with."""

    async def create(self, *, replicas: int = 2, **rollout: Any) -> str:
        """Create it, let its servers be ready, and return its first revision."""
        metadata = {"name": "api", "namespace": "team-a"}
        manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
        rollout = {"strategy": "Recreate"} | rollout
        spec = {"model": {"uri": "pvc://models/artifact"}, "replicas": replicas, "rollout": rollout} | self.besides
        self.harness.cluster.add(manifest | {"spec": spec})
        await self.settle()
        (revision,) = self.revisions
        assert "stable" not in self.status, "nothing has answered yet"
        await self.ready(revision, replicas)
        return revision

    async def offer(self, number: int = 1) -> str:
        """Change what is served, and return the revision that is new by that."""
        before = set(self.revisions)
        await self.change(batching={"maxBatchSize": number})
        (new,) = set(self.revisions) - before
        return new

    async def change(self, **spec: Any) -> None:
        self.harness.now += timedelta(minutes=1)
        self.harness.cluster.change(self.stored, spec=self.stored["spec"] | spec)
        await self.settle()

    async def command(self, text: str) -> None:
        metadata = self.stored["metadata"] | {"annotations": {"tuneloop.dev/rollout": text}}
        self.harness.cluster.change(self.stored, metadata=metadata)
        await self.settle()

    async def settle(self, *, later: float = 0.0) -> None:
        """Let the operator do all that it can; servers that are not wanted any more end."""
        await self.harness.settle(later=later)
        for revision, count in self.counts.items():
            for pod in self.pods(revision)[count:]:
                self.harness.cluster.remove(pod)
        await self.harness.settle()

    async def restart(self) -> None:
        """Lose what only the operator knows, and let every later write have its answer."""
        self.harness.cluster.fail_write = None
        self.harness.restart_operator()
        await self.settle(later=60.0)

    async def ready(self, revision: str, count: int) -> None:
        """Let so many servers of a revision answer."""
        self.harness.cluster.change(self.servers(revision), status={"readyReplicas": count})
        await self.replace_pods(revision, *(server_pod(revision, number) for number in range(count)))

    async def replace_pods(self, revision: str, *pods: dict[str, Any]) -> None:
        for pod in self.pods(revision):
            self.harness.cluster.remove(pod)
        for pod in pods:
            self.harness.cluster.add(pod)
        await self.settle()

    async def overdue(self, revision: str, *, ready: int = 0) -> None:
        """Let the servers of a revision not come up within its time, but for some."""
        await self.replace_pods(revision, *(server_pod(revision, number) for number in range(ready)))
        condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
        generation = self.servers(revision)["metadata"]["generation"]
        status = {"observedGeneration": generation, "conditions": [condition]}
        self.harness.cluster.change(self.servers(revision), status=status)
        await self.settle()

    def servers(self, revision: str) -> dict[str, Any]:
        deployment: dict[str, Any] = self.harness.cluster.of_kind("Deployment")[f"api-{revision}"]
        return deployment

    def pods(self, revision: str) -> list[dict[str, Any]]:
        pods = self.harness.cluster.of_kind("Pod").values()
        return [pod for pod in pods if pod["metadata"]["labels"].get("tuneloop.dev/revision") == revision]

    @property
    def stored(self) -> dict[str, Any]:
        stored: dict[str, Any] = self.harness.cluster.objects["ModelDeployment", "team-a", "api"]
        return stored

    @property
    def revisions(self) -> list[str]:
        deployments = self.harness.cluster.of_kind("Deployment").values()
        labels = [deployment["metadata"]["labels"] for deployment in deployments]
        return [found["tuneloop.dev/revision"] for found in labels if "tuneloop.dev/revision" in found]

    @property
    def counts(self) -> dict[str, int]:
        return {revision: self.servers(revision)["spec"]["replicas"] for revision in self.revisions}

    @property
    def target(self) -> str:
        """The revision that the Service leads to; `routers` if it leads to those."""
        selector: dict[str, str] = self.harness.cluster.of_kind("Service")["api"]["spec"]["selector"]
        return selector.get("tuneloop.dev/revision", "routers")

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.stored.get("status", {})
        return status

    def message(self, type_: str) -> str:
        """Return the message of a condition."""
        return next(entry["message"] for entry in self.status["conditions"] if entry["type"] == type_)

    def condition(self, type_: str) -> tuple[str, str] | None:
        found = (entry for entry in self.status["conditions"] if entry["type"] == type_)
        return next(((entry["status"], entry["reason"]) for entry in found), None)


def server_pod(revision: str, number: int, *, ready: bool = True, **container: Any) -> dict[str, Any]:
    """Return a server. container: what the kubelet says of its container."""
    labels = {"app.kubernetes.io/managed-by": "tuneloop", "tuneloop.dev/deployment": "api"}
    labels |= {"tuneloop.dev/revision": revision}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"api-{revision}-{number}", "namespace": "team-a", "labels": labels},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "server"} | container],
        },
    }
