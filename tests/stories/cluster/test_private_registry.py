"""Images of a private registry on a real node: without the Secret nothing is pulled, and with it all stages run what was pulled first."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from private_registry import private_registry
from stories_at_once import at_once
from workspace import job_manifest

if TYPE_CHECKING:
    from cluster_release import Tenant
    from private_registry import PrivateRegistry


PULL_SECRET = "registry"
STAGES = {"reviews-prepare", "reviews-a1", "reviews-export"}


@at_once
def test_a_job_waits_for_the_pull_secret_and_then_runs_the_image_that_was_pulled_first(stage):
    tenant = stage.release.in_namespace("private-registry")
    with private_registry(stage.folder) as registry:
        name = registry.push(stage.image, name="tuneloop/trainer:dev")
        tenant.apply(job_of(name))
        waits_for_the_image(tenant)
        assert registry.pulls() == 0
        tenant.apply(pull_secret(registry))
        status = tenant.finished("reviews")
        assert registry.pulls() > 0
    assert "restarts" not in status
    assert status["image"].startswith(f"{registry.address}/tuneloop/trainer@sha256:")
    pods = {job["metadata"]["name"]: job["spec"]["template"]["spec"] for job in tenant.list("jobs")}
    images = {run: {container["image"] for container in pod["containers"]} for run, pod in pods.items()}
    assert images == {run: {name if run == "reviews-prepare" else status["image"]} for run in STAGES}
    assert registry.password not in tenant.report() + tenant.kubectl("get", "ftj,jobs,pods,cm,events", "-o", "json")


def job_of(image: str) -> dict[str, Any]:
    """Return the smallest job in an image, with a pull secret that is not there yet."""
    return job_manifest(
        image=image,
        imagePullPolicy="IfNotPresent",
        imagePullSecrets=[{"name": PULL_SECRET}],
        training={"maxSteps": 2, "globalBatchSize": 8, "microBatchSize": 8, "learningRate": 1e-3},
        resources={"nodes": 1, "gpusPerNode": 0},
        checkpoint={"everySteps": 2},
        preflight={"rehearsal": False},
    )


def waits_for_the_image(tenant: Tenant) -> None:
    """Wait until the job says that an image is refused; it is patient with images."""

    def found() -> bool:
        status = tenant.status("finetunejobs", "reviews")
        said = [found for found in status.get("conditions", ()) if found["type"] == "PodsReady"]
        return any("authorization failed" in found["message"] and PULL_SECRET in found["message"] for found in said)

    tenant.until(found, what="an image that may not be pulled")
    assert tenant.status("finetunejobs", "reviews")["phase"] == "Preparing"


def pull_secret(registry: PrivateRegistry) -> dict[str, Any]:
    """Return the Secret that `kubectl create secret docker-registry` makes."""
    account = f"{registry.user}:{registry.password}"
    login = {"auths": {registry.address: {"auth": base64.b64encode(account.encode()).decode()}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": PULL_SECRET},
        "stringData": {".dockerconfigjson": json.dumps(login)},
    }
