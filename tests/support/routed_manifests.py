"""A ModelDeployment `reviews` of `team-a` whose status divides the requests, and its pods, as the API server stores them."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def routed_deployment(
    generation: int, *, version: int = 0, uid: str = "u-reviews", strategy: str = "Canary", **weights: int
) -> Manifest:
    """Return the deployment. weights: shares by revision, the newest first; by default `r1`, which is stable, gets all requests.

    version: the resourceVersion; 0: one that grows with the generation.
    """
    shares = [{"revision": revision, "weight": weight} for revision, weight in (weights or {"r1": 100}).items()]
    split = {"generation": generation, "weights": shares}
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {
            "name": "reviews",
            "namespace": "team-a",
            "uid": uid,
            "resourceVersion": str(version or 100 + generation),
        },
        "spec": {"model": {"uri": "pvc://models/artifact"}, "rollout": {}},
        "status": {"rollout": {"strategy": strategy, "stable": "r1", "split": split}},
    }


def pod_of_deployment(name: str, *, version: int = 1, uid: str = "", **labels: str) -> Manifest:
    """Return a pod of the deployment. labels: others than that of the deployment, by the part after `tuneloop.dev/`."""
    ours = {f"tuneloop.dev/{label}": value for label, value in ({"deployment": "reviews"} | labels).items()}
    metadata = {"name": name, "namespace": "team-a", "uid": uid or f"u-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"labels": ours}}
