"""What others do to our pods, or forget to give them, on a real node: proxies that never end, an artifact and Secrets that come late.

The stories run at once: much of the time they wait for the kubelet.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import sidecars
from artifact import make_artifact
from cluster_release import OWNER, Tenant
from cluster_stories import SMALLEST, STAGES, Stage, runs, stage_of
from cluster_watch import watching
from stories_at_once import at_once
from workspace import CLAIM, deployment_manifest, job_manifest

SECRET_VALUE = "hf_ThisIsNoRealToken0123456789"


# ---- containers of others ---------------------------------------------------------------------------------------------------------------


@at_once
def test_a_proxy_that_never_ends_keeps_no_stage_from_ending(stage):
    tenant = stage.release.in_namespace("sidecar")
    with (
        sidecars.injected(stage.release.cluster, "sidecar", native=False),
        watching(stage.release.cluster, "pods", namespace="sidecar", folder=stage.folder, api="/api/v1") as watch,
    ):
        tenant.apply(job_manifest(**SMALLEST))
        status = tenant.finished("reviews")
        pods = {stage_of(name): watch.statuses(name) for name in watch.names}
    outlived = [name for name in STAGES if any(ended(at) and runs(at, sidecars.NAME) for at in pods[name])]
    assert outlived == list(STAGES)
    assert "restarts" not in status
    assert [(attempt["endStep"], attempt["reason"]) for attempt in status["history"]] == [(2, "Succeeded")]
    assert (stage.release.claim / status["artifact"]["uri"].removeprefix(f"pvc://{CLAIM}/")).is_dir()
    tenant.until(lambda: not tenant.list("jobs") + tenant.pods(""), what="the end of Jobs and pods")


def ended(status: dict[str, Any]) -> bool:
    """Whether our container of a stage has ended."""
    found = status.get("containerStatuses", ())
    return any("terminated" in container["state"] for container in found if container["name"] == "trainer")


# ---- an artifact that comes late --------------------------------------------------------------------------------------------------------


@at_once
def test_an_artifact_that_is_not_there_is_named_and_served_once_it_is(stage):
    tenant, late = stage.release.in_namespace("late-artifact"), stage.release.claim / "late"
    tenant.apply(deployment_manifest(model={"uri": f"pvc://{CLAIM}/late"}))
    missing = tenant.until(lambda: condition(tenant, "ModelAvailable", "False"), what="a missing artifact")
    assert missing["reason"] == "ArtifactNotReadable"
    assert f"pvc://{CLAIM}/late" in missing["message"], missing
    assert column(tenant, "mdep", "REASON") == "ArtifactNotReadable"
    named = [("ArtifactNotReadable", missing["message"])]
    tenant.until(lambda: events(tenant, "ModelDeployment") == named, what="one Event")
    before = names_of_servers(tenant)
    copy_an_artifact(stage, late)
    tenant.until(lambda: condition(tenant, "Ready", "True"), what="a served model")
    assert condition(tenant, "ModelAvailable", "True")["reason"] == "ArtifactFound"
    assert column(tenant, "mdep", "REASON") == "AllReady"
    assert tenant.get("modeldeployments", "reviews")["metadata"]["generation"] == 1
    assert names_of_servers(tenant) == before
    tenant.kubectl("delete", "mdep", "reviews", "--wait=false")


def names_of_servers(tenant: Tenant) -> list[str]:
    return [pod["metadata"]["name"] for pod in tenant.pods("tuneloop.dev/deployment=reviews")]


def copy_an_artifact(stage: Stage, to: Path) -> None:
    made = stage.folder / "artifact"
    make_artifact(made, stage.release.claim / "model")
    shutil.copytree(made, to)
    for path in (to, *to.rglob("*")):
        os.chown(path, OWNER, OWNER)


def condition(tenant: Tenant, kind: str, status: str) -> dict[str, Any] | None:
    """Return a condition of the deployment if it has this status."""
    conditions = tenant.status("modeldeployments", "reviews").get("conditions", ())
    return next((found for found in conditions if (found["type"], found["status"]) == (kind, status)), None)


def column(tenant: Tenant, kind: str, title: str) -> str:
    """Return a column of `kubectl get`."""
    head, row = tenant.kubectl("get", kind, "reviews").splitlines()
    return row[head.index(title) :].split()[0]


def events(tenant: Tenant, kind: str) -> list[tuple[str, str]]:
    """Return reason and message of the Events about objects of a kind."""
    found = tenant.list("events")
    return [(event["reason"], event["note"]) for event in found if event.get("regarding", {}).get("kind") == kind]


# ---- Secrets that come late -------------------------------------------------------------------------------------------------------------


@at_once
def test_a_secret_that_is_not_there_is_named_and_the_job_goes_on_once_it_is(stage):
    tenant = stage.release.in_namespace("late-secrets")
    variable = {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "trackers", "key": "api-key"}}
    tenant.apply(job_manifest(**SMALLEST, env=[variable]))
    waits_with(tenant, 'secret "trackers" not found; needed: key api-key for WANDB_API_KEY')
    tenant.apply(secret("trackers", user="somebody"))
    waits_with(tenant, "couldn't find key api-key in Secret late-secrets/trackers")
    assert tenant.status("finetunejobs", "reviews")["phase"] == "Preparing"
    tenant.apply(secret("trackers", **{"api-key": SECRET_VALUE}))
    tenant.until(lambda: has_begun(tenant), what="a container that runs")
    job = tenant.get("finetunejobs", "reviews")
    assert (job["metadata"]["generation"], job["status"].get("restarts")) == (1, None)
    assert SECRET_VALUE not in tenant.report() + tenant.kubectl("get", "ftj,jobs,pods,configmaps,events", "-o", "json")
    tenant.kubectl("delete", "ftj", "reviews", "--wait=false")


@at_once
def test_the_token_of_a_gated_model_that_is_not_there_is_named_with_its_key(stage):
    tenant = stage.release.in_namespace("late-token")
    tenant.apply(job_manifest(**SMALLEST, model={"uri": "hf://tuneloop/gated", "secretRef": {"name": "hub"}}))
    waits_with(tenant, 'secret "hub" not found; needed: key token for HF_TOKEN')
    tenant.apply(secret("hub", token=SECRET_VALUE))
    tenant.until(lambda: has_begun(tenant), what="a container that runs")
    assert tenant.get("finetunejobs", "reviews")["metadata"]["generation"] == 1
    tenant.kubectl("delete", "ftj", "reviews", "--wait=false")  # this machine has no hub with such a model


def has_begun(tenant: Tenant) -> bool:
    """Whether the container of a stage runs, or has run."""
    return any(runs(pod["status"], "trainer") or ended(pod["status"]) for pod in tenant.pods("tuneloop.dev/stage"))


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def waits_with(tenant: Tenant, words: str) -> None:
    """Wait until the job says these words of a pod that waits; the column PODS then has the kubelet's reason."""

    def found() -> bool:
        conditions = tenant.status("finetunejobs", "reviews").get("conditions", ())
        return any(found["type"] == "PodsReady" and words in found.get("message", "") for found in conditions)

    tenant.until(found, what=words)
    assert column(tenant, "ftj", "PODS") == "CreateContainerConfigError"
