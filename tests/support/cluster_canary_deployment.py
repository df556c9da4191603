"""The deployment `reviews` of the canaries on a node: two servers behind two routers, with gates on what a comparator sees; and what is looked up of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bad_revisions import change_nothing_that_counts, swap_classes, write_changed, write_golden_set, write_good
from cluster_release import OWNER
from tiny_models import sentences
from workspace import CLAIM, deployment_manifest

if TYPE_CHECKING:
    from cluster_release import Object, Tenant
    from cluster_stories import Stage

WEIGHT = 50
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.15},
    {"name": "agreement", "metric": "Agreement", "margin": 0.3},
    {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.15},
]
_GOLDEN_ROWS = 250
_ROUTERS = "tuneloop.dev/component=router"


def deployment(artifact: str, **spec: Any) -> Object:
    """Return the deployment of two servers."""
    return deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/canary/{artifact}"},
        replicas=2,
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={
            "strategy": "Canary",
            "steps": [{"weight": WEIGHT, "minRequests": 60, "pause": True}, {"weight": 100, "minRequests": 60}],
            "gates": GATES,
            "shadow": {"percent": 100},
            "rollback": {"baking": "0s", "window": "1s"},
        },
        evaluation={"goldenSet": {"uri": f"pvc://{CLAIM}/canary/golden.jsonl"}},
        expose={"stickyHeader": "x-user"},
        feedback={},
        lifecycle={"drain": "10s"},
        **spec,
    )


def write_artifacts(stage: Stage) -> None:
    """Write the artifacts to the claim: `first`, `second`, which answers alike, and `swapped`, which takes each class for the other."""
    folder, texts = stage.release.claim / "canary", [text for text, _ in sentences(_GOLDEN_ROWS)]
    write_good(folder / "first", stage.release.claim / "model", texts)
    write_golden_set(folder / "golden.jsonl", folder / "first", texts)
    write_changed(folder / "second", folder / "first", change_nothing_that_counts)
    write_changed(folder / "swapped", folder / "first", swap_classes)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)


def status(tenant: Tenant) -> Object:
    return tenant.status("modeldeployments", "reviews")


def rollout(tenant: Tenant) -> Object:
    found: Object = status(tenant).get("rollout") or {}
    return found


def service(tenant: Tenant) -> Object:
    """Return the Service that users call."""
    (found,) = [found for found in tenant.list("services") if found["metadata"]["name"] == "reviews"]
    return found


def address(tenant: Tenant) -> str:
    return f"{service(tenant)['spec']['clusterIP']}:80"


def following(tenant: Tenant) -> int:
    """Return how many routers follow the newest split, once the Service leads to them."""
    if "tuneloop.dev/component" not in service(tenant)["spec"]["selector"]:
        return 0
    found = rollout(tenant)
    alive = {pod["metadata"]["name"] for pod in routers(tenant) if is_ready(pod)}
    return sum(
        router["name"] in alive and router.get("generation") == found["split"]["generation"]
        for router in found.get("routers", ())
    )


def routers(tenant: Tenant) -> list[Object]:
    """Return the pods of routers that stay."""
    return [pod for pod in tenant.pods(_ROUTERS) if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Object) -> bool:
    return any((found["type"], found["status"]) == ("Ready", "True") for found in pod["status"].get("conditions", ()))
