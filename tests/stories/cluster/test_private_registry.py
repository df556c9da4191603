"""Images of a private registry on a real node: without the Secret nothing is pulled, and with it all stages run what was pulled first.

A service mesh puts a native sidecar into the pods of the same job.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sidecars
from cluster_stories import SMALLEST, STAGES, runs, stage_of
from cluster_watch import watching
from private_registry import private_registry
from stories_at_once import of_story
from workspace import job_manifest

if TYPE_CHECKING:
    from cluster_release import Tenant
    from cluster_stories import Stage
    from private_registry import PrivateRegistry

PULL_SECRET = "registry"


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What was observed of a job whose image came from a private registry, and whose pods had a native sidecar."""

    tenant: Tenant
    image: str
    """The image's name in the spec."""
    registry: PrivateRegistry
    pulls_without_secret: int
    pulls: int
    status: dict[str, Any]
    """The job's last status."""
    pods: dict[str, list[dict[str, Any]]]
    """By stage: all statuses that its pod had."""


def pulled_job(stage: Stage) -> Pulled:
    """Run the smallest job to its end; its pull secret comes late."""
    tenant, cluster = stage.release.in_namespace("private-registry"), stage.release.cluster
    with (
        private_registry(stage.folder) as registry,
        sidecars.injected(cluster, tenant.namespace, native=True),
        watching(cluster, "pods", namespace=tenant.namespace, folder=stage.folder, api="/api/v1") as watch,
    ):
        image = registry.push(stage.image, name="tuneloop/trainer:dev")
        tenant.apply(job_of(image))
        waits_for_the_image(tenant)
        pulls_without_secret = registry.pulls()
        tenant.apply(pull_secret(registry))
        return Pulled(
            tenant=tenant,
            image=image,
            registry=registry,
            pulls_without_secret=pulls_without_secret,
            status=tenant.finished("reviews"),
            pulls=registry.pulls(),
            pods={stage_of(name): watch.statuses(name) for name in watch.names},
        )


@of_story(pulled_job)
def test_a_job_waits_for_the_pull_secret_and_then_runs_the_image_that_was_pulled_first(pulled: Pulled) -> None:
    assert pulled.pulls_without_secret == 0
    assert pulled.pulls > 0
    assert "restarts" not in pulled.status
    pinned = pulled.status["image"]
    assert pinned.startswith(f"{pulled.registry.address}/tuneloop/trainer@sha256:")
    images = {
        stage_of(job["metadata"]["name"]): {found["image"] for found in job["spec"]["template"]["spec"]["containers"]}
        for job in pulled.tenant.list("jobs")
    }
    assert images == {name: {pulled.image if name == "prepare" else pinned} for name in STAGES}


@of_story(pulled_job)
def test_the_password_of_the_registry_is_nowhere_but_in_its_secret(pulled: Pulled) -> None:
    tenant = pulled.tenant
    assert pulled.registry.password not in tenant.report() + tenant.kubectl(
        "get", "ftj,jobs,pods,cm,events", "-o", "json"
    )


@of_story(pulled_job)
def test_a_native_sidecar_ends_with_our_container_and_the_jobs_stay(pulled: Pulled) -> None:
    assert [name for name in STAGES if any(runs(at, sidecars.NAME) for at in pulled.pods[name])] == list(STAGES)
    assert "restarts" not in pulled.status
    assert {job["metadata"]["name"] for job in pulled.tenant.list("jobs")} == {
        "reviews-prepare",
        "reviews-a1",
        "reviews-export",
    }
    assert {pod["status"]["phase"] for pod in pulled.tenant.pods("")} == {"Succeeded"}


def job_of(image: str) -> dict[str, Any]:
    """Return the smallest job in an image, with a pull secret that is not there yet."""
    return job_manifest(
        image=image,
        imagePullPolicy="IfNotPresent",
        imagePullSecrets=[{"name": PULL_SECRET}],
        **SMALLEST,
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
