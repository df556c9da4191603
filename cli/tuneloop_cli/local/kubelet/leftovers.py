"""Corrects what an earlier session left in the folder: pods without a process, the status of stopped servers, folders without a pod."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneloop_cli.local.cluster.clock import now
from tuneloop_cli.local.cluster.pod_objects import is_deleted, is_terminal
from tuneloop_cli.local.kubelet import pod_status
from tuneloop_operator.names import COMPARATOR, COMPONENT_LABEL, ROUTER
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from tuneloop_cli.local.cluster.cluster import LocalCluster
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Kind, Manifest

_OF_ROUTERS: tuple[Kind, ...] = ("Deployment", "ConfigMap")
"""And of comparators: roll-outs begin anew with a session, and so do the counts of two revisions."""


def mark_pods_lost(cluster: LocalCluster, *, folders: Folders) -> None:
    """Mark each pod that was running as lost, finish the deletion of pods that were being deleted, and remove folders without a pod."""
    for pod in cluster.all("Pod"):
        if "nodeName" in pod["spec"] and not is_terminal(pod):
            pod["status"] = pod_status.lost(pod, now=now())
        if is_deleted(pod):
            pod["metadata"]["deletionGracePeriodSeconds"] = 0
        cluster.update(pod)
    known = {folders.pod(pod) for pod in cluster.all("Pod")}
    for folder in folders.root.glob("pods/*/*"):
        if folder not in known:
            shutil.rmtree(folder)


async def remove_routers_and_comparators(cluster: LocalCluster) -> None:
    """Remove every router and comparator with its configuration, which is for an earlier session. The operator makes what is needed anew."""
    for kind in _OF_ROUTERS:
        for manifest in cluster.all(kind):
            metadata = manifest["metadata"]
            if (metadata.get("labels") or {}).get(COMPONENT_LABEL) in {ROUTER, COMPARATOR}:
                await cluster.delete(
                    kind=kind, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]
                )


def clear_server_status(cluster: LocalCluster) -> None:
    """Remove ready servers and addresses from every status: between sessions no server runs. The stable revision and what the loop of retraining remembers stay."""
    for deployment in cluster.all("ModelDeployment"):
        if "status" in deployment:
            kept = {name: value for name, value in deployment["status"].items() if name in {"stable", "retraining"}}
            kept.get("stable", {}).pop("readyReplicas", None)
            if "retraining" in kept:
                kept["retraining"] = _without_run_in_flight(kept["retraining"])
            cluster.update(deployment | {"status": kept})
    for deployment in cluster.all("Deployment"):
        cluster.update(deployment | {"status": {}})
    for service in cluster.all("Service"):
        cluster.update(_without_address(service))


def _without_run_in_flight(loop: Manifest) -> Manifest:
    """Return the memory of the loop without a run that has not ended: its job waits for its submission, which no loop makes."""
    ended = [run for run in loop.get("history") or () if "outcome" in run]
    if len(ended) == len(loop.get("history") or ()):
        return loop
    fields = {name: value for name, value in loop.items() if name not in {"history", "message", "blockedReason"}}
    return fields | {"state": "Idle"} | ({"history": ended} if ended else {})


def _without_address(service: Manifest) -> Manifest:
    service["metadata"].get("annotations", {}).pop(LOCAL_URL, None)
    return service
