"""What the status of a ModelDeployment shows of what is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.spec import DeploymentPhase, ModelDeploymentStatus, ServedRevision
from tuneloop_operator.state.conditions import with_condition, without_condition

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.state.observed import ObservedDeployment

LOCAL_URL = "tuneloop.dev/local-url"
"""Annotation of a Service that has an address of its own, outside the cluster's name service."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The servers of the revision that is wanted."""

    revision: str
    uri: str
    digest: str | None
    replicas: int
    ready: int
    trouble: str = ""
    """What their Deployment says is wrong."""

    @property
    def answers(self) -> bool:
        """Whether requests may be sent to it; nobody sends any where no replica is wanted."""
        return self.ready > 0 or self.replicas == 0


def shown(seen: ObservedDeployment, serving: Serving, *, now: datetime) -> ModelDeploymentStatus:
    """Return the status of a deployment whose artifact is known."""
    status = seen.deployment.status or ModelDeploymentStatus()
    stable = _revision(serving) if serving.answers or _is_stable(status, serving) else status.stable
    phase = _phase(seen, serving, stable)
    conditions = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    conditions = with_condition(
        conditions, "ModelAvailable", true=True, reason="ArtifactFound", message=serving.uri, now=now
    )
    conditions = with_condition(
        conditions,
        "Ready",
        true=phase == "Ready",
        reason="AllReady" if phase == "Ready" else phase,
        message=(seen.blocker.message if seen.blocker else serving.trouble)
        or f"{serving.ready} of {serving.replicas} servers of revision {serving.revision} answer",
        now=now,
    )
    for type_ in ("NameConflict", "Refused"):
        conditions = without_condition(conditions, type_)
        if seen.blocker is not None and seen.blocker.reason == type_:
            conditions = with_condition(
                conditions, type_, true=True, reason=type_, message=seen.blocker.message, now=now
            )
    return status.model_copy(
        update={
            "observed_generation": seen.deployment.metadata.get("generation"),
            "phase": phase,
            "conditions": conditions,
            "stable": stable,
            "ready": f"{serving.ready}/{serving.replicas}",
            "url": _url(seen),
        }
    )


def waiting(seen: ObservedDeployment, *, reason: str, message: str, now: datetime) -> ModelDeploymentStatus:
    """Return the status of a deployment whose artifact is not there; what it serves already, it goes on serving."""
    status = seen.deployment.status or ModelDeploymentStatus()
    conditions = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    conditions = with_condition(conditions, "ModelAvailable", true=False, reason=reason, message=message, now=now)
    if status.stable is None:
        conditions = with_condition(conditions, "Ready", true=False, reason="NoModel", message=message, now=now)
    return status.model_copy(
        update={
            "observed_generation": seen.deployment.metadata.get("generation"),
            "phase": status.phase if status.stable else "Pending",
            "conditions": conditions,
        }
    )


def _is_stable(status: ModelDeploymentStatus, serving: Serving) -> bool:
    return status.stable is not None and status.stable.revision == serving.revision


def _revision(serving: Serving) -> ServedRevision:
    return ServedRevision(
        revision=serving.revision,
        digest=serving.digest or "",
        uri=serving.uri,
        replicas=serving.replicas,
        ready_replicas=serving.ready,
    )


def _phase(seen: ObservedDeployment, serving: Serving, stable: ServedRevision | None) -> DeploymentPhase:
    if stable is None:
        return "Loading"
    if stable.revision != serving.revision:
        return "Progressing"
    return "Ready" if serving.ready >= serving.replicas and seen.blocker is None else "Degraded"


def _url(seen: ObservedDeployment) -> str:
    name, namespace = seen.deployment.metadata["name"], seen.deployment.metadata["namespace"]
    service = seen.present.get(("Service", name))
    annotations = (service or {}).get("metadata", {}).get("annotations") or {}
    url: str = annotations.get(LOCAL_URL) or f"http://{name}.{namespace}.svc"
    return url
