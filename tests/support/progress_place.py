"""`Place`: a namespace with a FineTuneJob, its Job and pods, and tokens of them, as the kubelet asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.names import token_audience
from tuneloop_operator.names import ATTEMPT_LABEL, JOB_LABEL, STAGE_LABEL

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane

    from tuneloop_operator.controller.store import Store

Manifest = dict[str, Any]


@dataclass
class Place:
    """A namespace with the FineTuneJob `reviews`, its Job `reviews-a1`, and what the operator has observed of them."""

    plane: ControlPlane
    namespace: str
    store: Store
    job: Manifest

    @property
    def audience(self) -> str:
        return token_audience(self.job["metadata"]["uid"])

    def post(self, kind: str, path: str, manifest: Manifest, *, observed: bool = True) -> Manifest:
        reply = self.plane.request("POST", path, manifest)
        assert reply.status == 201, reply.body
        stored = {"kind": kind, **reply.body}
        if observed:
            self.store.put(stored)
        return stored

    def pod(
        self, name: str = "reviews-a1-0", *, owner: Manifest | None, attempt: int = 1, observed: bool = True
    ) -> str:
        """Create a pod on a node and return its uid."""
        labels = {JOB_LABEL: "reviews", STAGE_LABEL: "train", ATTEMPT_LABEL: str(attempt)}
        pod = {
            "metadata": {"name": name, "labels": labels, "ownerReferences": [reference(owner)] if owner else []},
            "spec": {"nodeName": "a-node", "containers": [{"name": "trainer", "image": "trainer"}]},
        }
        made = self.post("Pod", f"/api/v1/namespaces/{self.namespace}/pods", pod, observed=observed)
        return str(made["metadata"]["uid"])

    def token(self, *, pod: str | None = None, uid: str = "", audience: str | None = None) -> str:
        """Return a token as the kubelet asks for it."""
        spec: Manifest = {"audiences": [audience or self.audience], "expirationSeconds": 600}
        if pod is not None:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default/token"
        reply = self.plane.request("POST", path, {"spec": spec})
        assert reply.status == 201, reply.body
        return str(reply.body["status"]["token"])

    def stage_job(self, owner: Manifest, name: str = "reviews-a1") -> Manifest:
        labels = {JOB_LABEL: "reviews", STAGE_LABEL: "train", ATTEMPT_LABEL: "1"}
        job = {
            "metadata": {"name": name, "labels": labels, "ownerReferences": [reference(owner)]},
            "spec": {"suspend": True, "template": {"spec": pod_spec()}},
        }
        return self.post("Job", f"/apis/batch/v1/namespaces/{self.namespace}/jobs", job)


def pod_spec() -> Manifest:
    return {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "trainer"}]}


def reference(owner: Manifest) -> Manifest:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
