"""A deployment of an image that is not ours on a node, whose clients need a key: from a damaged artifact to the last request of its end."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import foreign_image
from artifact import make_artifact
from cluster_release import OWNER
from enforced_policies import enforced, reaches
from keyed_requests import ask, begun, listens, rest_of
from workspace import CLAIM, deployment_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_release import Object, Tenant
    from cluster_stories import Stage
    from keyed_requests import Answer

NAMESPACE = "another-image"
PORT = 8000
BURST = 20
_SECRET, _KEY = "clients", "api-keys"
_FIRST, _SECOND = "first-key", "second-key"
_SERVERS = "tuneloop.dev/revision"
_ROUTERS = "tuneloop.dev/component=router"
_LOOK_INSIDE = """
import getpass, json, os

def refusal(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
    return "none"

print(json.dumps({
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "folders": os.listdir("/tuneloop"),
    "artifact": sorted(os.listdir("/tuneloop/artifact")),
    "refusals": {path: refusal(path) for path in ("/tuneloop/artifact/x", "/x", "/tmp/x", os.environ["HOME"] + "/x")},
    "token": os.path.exists("/var/run/secrets"),
}))
"""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What was observed."""

    refused: Object
    """The status while the artifact was damaged and the Secret was not there."""
    described: str
    """What `kubectl describe` printed then."""
    server: Object
    """The pod, once it was ready."""
    inside: Object
    """What its program finds."""
    first: dict[str, Answer]
    """By the key that a client sent; empty: none."""
    second: dict[str, Answer]
    """The same after another key had taken the place of the first in the Secret."""
    seconds: float
    """From the change of the Secret to the first answer by the new key."""
    pods: list[tuple[str, int]]
    """Name and restarts of each pod before the change of the Secret."""
    pods_afterwards: list[tuple[str, int]]
    reached_freely: bool
    """Whether a pod of somebody else reached the server while no policy was enforced."""
    reached: dict[str, bool]
    """Who reached whom while all were."""
    statuses: list[int]
    """Of requests beyond the rate, until the first that was refused."""
    while_it_ends: int
    """Status of a request that came to the server after its deletion."""
    under_way: dict[str, int]
    """Status of the requests that were begun before the deletion and whose end came after it, by whom they were sent to."""
    children: list[str]
    """What was left at the end."""


def foreign(stage: Stage) -> Foreign:
    """Serve, change the key, forbid, refuse, delete."""
    tenant, folder = stage.release.in_namespace(NAMESPACE), stage.release.claim / "another-image"
    archive = stage.folder / "image.tar"
    foreign_image.write(stage.base, archive)
    stage.release.cluster.load_image(archive)
    whole = write_damaged(stage, folder)
    tenant.apply(deployment(), stranger())
    tenant.until(
        lambda: status(tenant).get("failure") and _SECRET in message(tenant),
        what="a damaged artifact that is refused, and a router that waits for its Secret",
    )
    refused, described = status(tenant), tenant.kubectl("describe", "mdep", "reviews")
    tenant.apply(secret(_FIRST))  # soon: a kubelet that did not find it waits longer after each look
    (folder / "model/model.safetensors").write_bytes(whole)
    tenant.until(lambda: status(tenant).get("phase") == "Ready", what="a served model")
    (server,), address = tenant.pods(_SERVERS), service(tenant)
    observed: dict[str, Any] = {
        "server": server,
        "inside": look_inside(tenant, server),
        "first": answers(address),
        "pods": pods(tenant),
    }
    observed |= with_another_key(tenant, address)
    observed |= {"second": answers(address), "pods_afterwards": pods(tenant)}
    return Foreign(refused=refused, described=described, **observed, **ended(tenant, address, server))


# ---- what is applied --------------------------------------------------------------------------------------------------------------------


def deployment() -> Object:
    return deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/another-image"},
        image=foreign_image.NAME,
        runtime={
            "type": "Custom",
            "command": ["hf-serve"],
            "args": [
                *("--model-dir", "$(TUNELOOP_MODEL_PATH)"),
                *("--task", "text-classification"),
                *("--port", "$(TUNELOOP_PORT)"),
            ],
            "endpoints": {"port": PORT},
        },
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        lifecycle={"preStop": "10s", "drain": "30s"},
        access={
            "apiKeySecretRef": {"name": _SECRET, "key": _KEY},
            "rateLimit": {"requestsPerSecond": 0.1, "burst": BURST},
        },
    )


def stranger() -> Object:
    """Return a pod of somebody else."""
    container = {
        "name": "probe",
        "image": "dev.local/probe:1",
        "imagePullPolicy": "Never",
        "args": ["serve", ":9000", "hello"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": OWNER, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "labels": {"app": "stranger"}},
        "spec": spec,
    }


def secret(key: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _SECRET}, "stringData": {_KEY: f"{key}\n"}}


def write_damaged(stage: Stage, folder: Path) -> bytes:
    """Write an artifact to the claim whose weights have another last byte; return the weights that it was published with."""
    made = stage.folder / "artifact"
    make_artifact(made, stage.release.claim / "model")
    weights = made / "model/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    shutil.copytree(made, folder)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)
    return whole


# ---- what is looked at ------------------------------------------------------------------------------------------------------------------


def status(tenant: Tenant) -> Object:
    return tenant.status("modeldeployments", "reviews")


def message(tenant: Tenant) -> str:
    """Return what the condition Ready says."""
    found = status(tenant).get("conditions", ())
    return next((str(condition["message"]) for condition in found if condition["type"] == "Ready"), "")


def look_inside(tenant: Tenant, server: Object) -> Object:
    """Return what a program in the container of the server finds."""
    words = ("exec", server["metadata"]["name"], "-n", tenant.namespace, "--", "python3", "-c", _LOOK_INSIDE)
    done = tenant.release.cluster.kubectl(*words)
    assert done.returncode == 0, done.stderr
    found: Object = json.loads(done.stdout)
    return found


def service(tenant: Tenant) -> str:
    """Return the address that clients use."""
    (found,) = [found for found in tenant.list("services") if found["metadata"]["name"] == "reviews"]
    return f"{found['spec']['clusterIP']}:80"


def pods(tenant: Tenant) -> list[tuple[str, int]]:
    """Return name and restarts of the deployment's pods."""
    return sorted(
        (pod["metadata"]["name"], sum(container["restartCount"] for container in pod["status"]["containerStatuses"]))
        for pod in tenant.pods("tuneloop.dev/deployment=reviews")
    )


def answers(address: str) -> dict[str, Answer]:
    return {key: ask(address, key) for key in ("", _FIRST, _SECOND)}


# ---- what happens -----------------------------------------------------------------------------------------------------------------------


def with_another_key(tenant: Tenant, address: str) -> dict[str, Any]:
    """Put another key in the place of the first; while the kubelet brings it, find out who reaches whom under the policies."""
    (server,), (router,), (other,) = tenant.pods(_SERVERS), tenant.pods(_ROUTERS), tenant.pods("app=stranger")
    observed = {"reached_freely": reaches(other, server, PORT)}
    tenant.apply(secret(_SECOND))
    began = time.monotonic()
    with enforced(tenant):
        reached = {
            "stranger to server": reaches(other, server, PORT),
            "operator to server": reaches(tenant.release.operator_pod(), server, PORT),
            "router to server": reaches(router, server, PORT),
            "stranger to router": reaches(other, router, 8080),
            "stranger to metrics of router": reaches(other, router, 8081),
        }
        tenant.until(lambda: ask(address, _SECOND).status == 200, what="the new key opens")
    return observed | {"reached": reached, "seconds": time.monotonic() - began}


def ended(tenant: Tenant, address: str, server: Object) -> dict[str, Any]:
    """Ask until the rate is used up, and delete the deployment while requests are under way at a router and at the server."""
    name, direct = server["metadata"]["name"], f"{server['status']['podIP']}:{PORT}"
    with begun(address, _SECOND) as through_router, begun(direct) as at_server:
        statuses = until_refused(address)
        tenant.kubectl("delete", "mdep", "reviews", "--wait=false")
        tenant.until(lambda: is_ending(tenant, name), what="a pod that is being deleted")
        while_it_ends = ask(direct).status
        under_way = {"router": rest_of(through_router)}
        tenant.until(lambda: not listens(direct), what="a server that has got SIGTERM")
        under_way["server"] = rest_of(at_server)
    tenant.until(lambda: not tenant.pods("tuneloop.dev/deployment=reviews"), what="the end of all pods")
    tenant.kubectl("delete", "pod", "stranger", "--wait=false")
    kinds = ("deployments", "services", "configmaps", "networkpolicies")
    children = [f"{kind} {found['metadata']['name']}" for kind in kinds for found in tenant.list(kind)]
    return {
        "statuses": statuses,
        "while_it_ends": while_it_ends,
        "under_way": under_way,
        "children": [child for child in children if child != "configmaps kube-root-ca.crt"],
    }


def until_refused(address: str) -> list[int]:
    """Ask until an answer is no 200; return the statuses."""
    statuses: list[int] = []
    while len(statuses) < 3 * BURST and statuses[-1:] in ([], [200]):
        statuses.append(ask(address, _SECOND).status)
    return statuses


def is_ending(tenant: Tenant, name: str) -> bool:
    return any(
        pod["metadata"]["name"] == name and "deletionTimestamp" in pod["metadata"] for pod in tenant.pods(_SERVERS)
    )
