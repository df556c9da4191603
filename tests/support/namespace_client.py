"""`NamespaceClient`: one namespace of a control plane, and what a user does and sees in it. For a thread of its own.

client = NamespaceClient(control_plane, namespace)
client.submit("reviews")
client.wait_for_phase("reviews", "Succeeded")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import end_state
from waiting import until

if TYPE_CHECKING:
    from cluster.api_client import Reply
    from cluster.control_plane import ControlPlane

Manifest = dict[str, Any]
SPEC: Manifest = {
    "model": {"uri": "hf://FacebookAI/roberta-base"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
    "resources": {"nodes": 2, "gpusPerNode": 0},
    "storage": {"claim": "models"},
}
PAUSE = 0.15
"""Seconds between two questions to an API server: each costs it and the test some milliseconds of work, and many tests ask at a time."""
OVER = frozenset({"Succeeded", "Failed"})
_MERGE = "application/merge-patch+json"


class NamespaceClient:
    """As the administrator."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self._client = plane.client()

    def submit(self, name: str = "reviews", **spec: Any) -> Manifest:
        """Create a FineTuneJob of two nodes and return it as stored. `spec`: fields that differ."""
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
        return self.create("FineTuneJob", body | {"spec": SPEC | spec})

    def request(self, method: str, path: str, body: Any = None, **how: Any) -> Reply:
        """Send one request."""
        return self._client.request(method, path, body, **how)

    def create(self, kind: str, manifest: Manifest) -> Manifest:
        """Create an object and return it as stored."""
        reply = self._client.request("POST", self._path(kind), manifest)
        assert reply.status == 201, reply.body
        return reply.body

    def get(self, kind: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        reply = self._client.request("GET", f"{self._path(kind)}/{name}")
        return reply.body if reply.status == 200 else None

    def stored(self, kind: str, name: str, *, seconds: float = 90.0) -> Manifest:
        """Return an object once it is there."""
        found = until(lambda: self.get(kind, name), seconds=seconds, what=f"{kind} {name}", pause=PAUSE)
        assert found is not None
        return found

    def all(self, kind: str) -> list[Manifest]:
        """Return the objects of a kind."""
        reply = self._client.request("GET", self._path(kind))
        assert reply.status == 200, reply.body
        return reply.body["items"]

    def names(self, kind: str) -> set[str]:
        """Return the names of the objects of a kind; Kubernetes' own ConfigMap is left out."""
        return {found["metadata"]["name"] for found in self.all(kind)} - {"kube-root-ca.crt"}

    def patch(
        self, kind: str, name: str, change: Any, *, subresource: str = "", content_type: str = _MERGE
    ) -> Manifest:
        """Change an object and return it as stored."""
        path = f"{self._path(kind)}/{name}{subresource}"
        reply = self._client.request("PATCH", path, change, content_type=content_type)
        assert reply.status == 200, reply.body
        return reply.body

    def delete(self, kind: str, name: str, *, policy: str = "Background") -> None:
        """Delete an object."""
        reply = self._client.request("DELETE", f"{self._path(kind)}/{name}", {"propagationPolicy": policy})
        assert reply.status in {200, 202}, reply.body

    def status(self, name: str = "reviews") -> Manifest:
        """Return the status of a FineTuneJob; empty if there is none."""
        return (self.get("FineTuneJob", name) or {}).get("status", {})

    def phase(self, name: str = "reviews") -> str:
        """Return the phase of a FineTuneJob; empty if it has none."""
        return self.status(name).get("phase", "")

    def wait_for_phase(self, name: str, phase: str, *, seconds: float = 150.0) -> Manifest:
        """Return the status of a FineTuneJob once it is in this phase."""
        until(lambda: self.phase(name) == phase, seconds=seconds, what=f"{self.namespace}/{name} {phase}", pause=PAUSE)
        return self.status(name)

    def condition(self, name: str, type_: str) -> Manifest | None:
        """Return a condition of a FineTuneJob, or None."""
        found = self.status(name).get("conditions", ())
        return next((condition for condition in found if condition["type"] == type_), None)

    def events_of(self, manifest: Manifest, *, seconds: float = 90.0) -> list[Manifest]:
        """Return the Events about an object, once there are any: the operator writes them last."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"

        def events() -> list[Manifest]:
            items = self._client.request("GET", path).body["items"]
            return [event for event in items if event["regarding"].get("uid") == manifest["metadata"]["uid"]]

        return until(events, seconds=seconds, what=f"an Event about {manifest['metadata']['name']}", pause=PAUSE)

    def is_idle(self) -> bool:
        """Whether the controllers of Kubernetes have nothing left to do: each Job is over, and no pod is on its way out."""
        over = all(_is_over(job) for job in self.all("Job"))
        return over and not any(_is_ending(pod) for pod in self.all("Pod"))

    def end_state(self) -> end_state.EndState:
        """Return what the namespace holds, masked."""
        return end_state.end_state(self._client, self.namespace)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _path(self, kind: str) -> str:
        return end_state.KINDS[kind].format(namespace=self.namespace)


def _is_over(job: Manifest) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(found["type"] in {"Complete", "Failed"} and found["status"] == "True" for found in conditions)


def _is_ending(pod: Manifest) -> bool:
    is_running = pod["status"]["phase"] not in OVER
    return is_running or "deletionTimestamp" in pod["metadata"] or bool(pod["metadata"].get("finalizers"))
