"""Feedback whose rows are kept on a node: two servers write to one claim by its group alone, and a job of the same namespace reads what they wrote."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artifact import make_artifact
from cluster.volumes import shared_claim
from cluster_canary_deployment import is_ready
from cluster_feedback import label, secret, token
from cluster_release import OWNER
from cluster_stories import SMALLEST
from tiny_models import sentences
from workspace import CLAIM, deployment_manifest, job_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_release import Object, Tenant
    from cluster_stories import Stage

NAMESPACE = "kept-feedback"
ROWS_CLAIM = "feedback"
EACH = 20
"""Texts that each server gets a label for."""
LABELS = ("class-0", "class-1")
JOB = "learner"


@dataclass(frozen=True, kw_only=True)
class RowsFile:
    """A file of rows on the claim."""

    uid: int
    gid: int
    mode: int
    rows: list[Object]


@dataclass(frozen=True, kw_only=True)
class KeptFeedback:
    """What was observed of the rows, from the servers that wrote them to the job that read them."""

    sent: dict[str, str]
    """By text: its label."""
    answers: list[Object]
    """What the servers answered to the labels."""
    files: list[RowsFile]
    resolved: Object
    """`status.resolved` of the job."""
    source: Object
    """The feedback in the job's data report."""
    mounts: list[Object]
    """How the pods of the job mount the claim of the rows."""


def kept_feedback(stage: Stage) -> KeptFeedback:
    """Serve a model with two servers that keep texts, label texts at both, and let a job prepare them."""
    tenant, rows = stage.release.in_namespace(NAMESPACE), stage.folder / "rows"
    rows.mkdir(mode=0o755)  # of root: only what the kubelet does for `fsGroup` lets a server write
    _make_claim(tenant, rows)
    _write_artifact(stage.release.claim)
    tenant.apply(secret(), _deployment())
    servers = tenant.until(lambda: _both_ready(tenant), what="two servers")
    sent = dict(sentences(2 * EACH, seed=9))
    answers = _label(sent, [f"{pod['status']['podIP']}:8080" for pod in servers])
    files = tenant.until(lambda: _files(rows, count=len(sent)), what="all rows on the claim")
    tenant.apply(_job())
    tenant.until(lambda: "data" in tenant.status("finetunejobs", JOB), what="prepared data")
    status, pods = tenant.status("finetunejobs", JOB), tenant.pods(f"tuneloop.dev/job={JOB}")
    tenant.kubectl("delete", "ftj,mdep", "--all", "--wait=false")
    path = status["data"]["report"].removeprefix(f"/tuneloop/claims/{CLAIM}/")
    report = json.loads((stage.release.claim / path).read_text())
    return KeptFeedback(
        sent=sent,
        answers=answers,
        files=files,
        resolved=status["resolved"],
        source=report["sources"][-1],
        mounts=[mount for pod in pods for mount in _mounts(pod)],
    )


def _make_claim(tenant: Tenant, folder: Path) -> None:
    """Make the claim of the rows on a folder of the node. A kubelet gives volumes of type `local` the group of the pod, those of `hostPath` not."""
    (node,) = json.loads(tenant.release.cluster.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node["metadata"]["name"]]}
    volume, claim = shared_claim(ROWS_CLAIM, folder, namespace=tenant.namespace, size="1Gi")
    path = volume["spec"].pop("hostPath")["path"]
    volume["spec"] |= {
        "local": {"path": path},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}},
    }
    tenant.apply(volume, claim)


def _write_artifact(claim: Path) -> None:
    folder = claim / "kept"
    make_artifact(folder, claim / "model", LABELS)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER)


def _deployment() -> Object:
    return deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/kept"},
        replicas=2,
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        feedback={"storeInputs": "all", "storage": {"claim": ROWS_CLAIM, "subPath": "of/reviews"}},
    )


def _job() -> Object:
    sources = [{"uri": f"pvc://{CLAIM}/rows.csv"}, {"uri": "feedback://reviews"}]
    return job_manifest(**SMALLEST, data={"train": sources}) | {"metadata": {"name": JOB}}


def _both_ready(tenant: Tenant) -> list[Object]:
    pods = [pod for pod in tenant.pods("tuneloop.dev/deployment=reviews") if is_ready(pod)]
    return pods if len(pods) == 2 else []


def _label(texts: dict[str, str], addresses: list[str]) -> list[Object]:
    """Send the labels of the texts to the servers by turns, each for a prediction of that server."""
    answers = []
    for number, (text, right) in enumerate(texts.items()):
        address = addresses[number % len(addresses)]
        answers.append(label(address, token(address, text), label=right, input=text))
    return answers


def _files(folder: Path, *, count: int) -> list[RowsFile]:
    """Return the files once they hold so many rows; empty before."""
    found = [
        RowsFile(
            uid=path.stat().st_uid,
            gid=path.stat().st_gid,
            mode=path.stat().st_mode & 0o777,
            rows=[json.loads(line) for line in path.read_text().splitlines()],
        )
        for path in folder.glob("of/reviews/feedback/reviews/*.jsonl")
    ]
    return found if sum(len(file.rows) for file in found) == count else []


def _mounts(pod: Object) -> list[Object]:
    """Return the mounts of the rows' claim."""
    claims = {
        volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["spec"]["volumes"]
    }
    mounts = [mount for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
    return [mount for mount in mounts if claims.get(mount["name"]) == ROWS_CLAIM]
