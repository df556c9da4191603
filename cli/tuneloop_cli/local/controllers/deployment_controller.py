"""The Deployment and ReplicaSet controllers as one pure step: keep `replicas` pods of the template, and write the status.

A changed template replaces all pods at once. This is rare: each revision has a Deployment of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.canonical import digest_of
from tuneloop_cli.local.cluster.pod_objects import (
    is_active,
    is_deleted,
    is_ready,
    is_terminal,
    pod_from_template,
    seniority,
    with_condition,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster import Manifest

TEMPLATE_HASH = "pod-template-hash"


@dataclass(frozen=True, kw_only=True)
class DeploymentStep:
    """What to do next."""

    create: tuple[Manifest, ...]
    delete: tuple[Manifest, ...]
    status: dict[str, Any]


def deployment_step(
    deployment: Manifest, pods: list[Manifest], *, now: str, suffix: Callable[[], str]
) -> DeploymentStep:
    """Return the next step of a Deployment. `suffix` gives the random end of a pod's name."""
    wanted: int = deployment["spec"].get("replicas", 1)
    template = digest_of(deployment["spec"]["template"])[:10]
    current = [pod for pod in pods if is_active(pod) and pod["metadata"]["labels"].get(TEMPLATE_HASH) == template]
    by_use = sorted(
        current, key=lambda pod: (not is_ready(pod), seniority(pod))
    )  # routers know the oldest that is ready
    kept, surplus = by_use[:wanted], by_use[wanted:]
    obsolete = [pod for pod in pods if not is_deleted(pod) and (pod not in current or pod in surplus)]
    name = deployment["metadata"]["name"]
    waiting = any(not is_terminal(pod) and pod not in kept for pod in pods)  # its port and memory are still taken
    create = tuple(
        pod_from_template(deployment, name=f"{name}-{suffix()}", labels={TEMPLATE_HASH: template}, annotations={})
        for _ in range(0 if waiting else wanted - len(kept))
    )
    ready = sum(map(is_ready, kept))
    return DeploymentStep(
        create=create,
        delete=tuple(obsolete),
        status=_status(
            deployment, replicas=len(kept) + len(create), ready=ready, failure=_server_failure(kept), now=now
        ),
    )


def _status(deployment: Manifest, *, replicas: int, ready: int, failure: str, now: str) -> dict[str, Any]:
    wanted: int = deployment["spec"].get("replicas", 1)
    available = ready >= wanted
    progressing = {
        "type": "Progressing",
        "status": "False" if failure else "True",
        "reason": "ServerEnded" if failure else "ServersRun",
        "message": failure,
    }
    conditions = with_condition((deployment.get("status") or {}).get("conditions"), progressing, now=now)
    condition = {
        "type": "Available",
        "status": "True" if available else "False",
        "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
        "message": f"{ready} of {wanted} server pods are ready",
    }
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": with_condition(conditions, condition, now=now),
    }


def _server_failure(pods: list[Manifest]) -> str:
    """Return how a server ended that is not ready again. A cluster reports this only after the progress deadline."""
    for pod in pods:
        for container in pod["status"].get("containerStatuses", ()):
            ended = {**container.get("lastState", {}), **container["state"]}.get("terminated")
            if ended and not is_ready(pod):
                message = ended.get("message", "").strip()
                return f"{pod['metadata']['name']} ended with exit code {ended['exitCode']}" + (
                    f": {message}" if message else ""
                )
    return ""
