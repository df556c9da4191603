"""What the status of a ModelDeployment shows: phase, revision, conditions, number of pods, URL, defaults of its pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.status import DeploymentPhase, ModelDeploymentStatus, StableRevision
from tuneloop_api.wire.model import changed
from tuneloop_operator.names import DEPLOYMENT_LABEL, REVISION_LABEL, router_name
from tuneloop_operator.state.conditions import with_condition
from tuneloop_operator.status.blockers import with_blocker
from tuneloop_operator.status.model_deployment.scaling import enough_servers, with_scaling
from tuneloop_operator.status.pod_defaults import with_pod_defaults
from tuneloop_operator.status.tool_conditions import READY, short, with_neither, with_reconciling, with_stalled

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.failure import ServingFailure
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment

LOCAL_URL = "tuneloop.dev/local-url"
"""Annotation of a Service in local mode: its URL on this machine."""
OVERDUE = "ProgressDeadlineExceeded"
"""Reason of a Deployment's condition Progressing=False."""


ASLEEP = "no servers are asked for (replicas: 0), and no request is answered"
"""Message of a deployment that sleeps."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The servers of the revision that the spec asks for."""

    revision: str
    uri: str
    digest: str | None
    replicas: int
    ready: int
    is_published: bool = False
    """Whether a FineTuneJob has published the artifact. What else an address leads to is known once a server has read it."""
    trouble: str = ""
    """Why the pods do not come up."""
    reason: str = ""
    """The same in one word; empty: the phase."""
    artifact_problem: str = ""
    """Why the model is not available, in one word, if a server found fault with the artifact."""
    failure: ServingFailure | None = None
    """The same with all that is known of it."""
    stable_failure: ServingFailure | None = None
    """That of the stable revision, if it is another one."""
    is_overdue: bool = False
    """Whether the progress deadline of its Deployment is over."""

    @property
    def answers(self) -> bool:
        """Whether requests may go to this revision. With no replica to run, none are answered, and the switch need not wait."""
        return self.ready > 0 or self.replicas == 0


def shown(
    observed: ObservedDeployment, serving: Serving, *, now: datetime, settings: OperatorSettings
) -> ModelDeploymentStatus:
    """Return the status of a deployment whose artifact is known."""
    status = observed.deployment.status or ModelDeploymentStatus()
    stable = _revision(serving) if serving.answers or _is_stable(status, serving) else _other(status, serving)
    phase = _phase(observed, serving, stable)
    conditions = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    conditions = with_model(conditions, serving, is_read=serving.answers or _is_stable(status, serving), now=now)
    reason = ready_reason(serving.replicas) if phase == "Ready" else _reason(observed, serving) or phase
    answering = f"{serving.ready} of {serving.replicas} servers of revision {serving.revision} answer"
    message = (observed.blocker.message if observed.blocker else serving.trouble) or (
        answering if serving.replicas else ASLEEP
    )
    is_ready = phase == "Ready"
    conditions = with_condition(conditions, READY, true=is_ready, reason=reason, message=message, now=now)
    conditions = with_blocker(conditions, observed.blocker, is_gone=True, now=now)
    conditions = with_scaling(conditions, observed, now=now)
    if is_ready:
        conditions = with_neither(conditions)
    elif observed.blocker is not None:
        conditions = with_stalled(conditions, reason=observed.blocker.reason, message=message, now=now)
    elif serving.is_overdue:
        conditions = with_stalled(conditions, reason=OVERDUE, message=message, now=now)
    else:
        conditions = with_reconciling(conditions, reason=reason, message=message, now=now)
    return changed(
        status,
        **common_fields(observed),
        phase=phase,
        conditions=conditions,
        stable=stable,
        canary=None,
        revisions=None,
        rollout=None,
        failure=serving.failure,
        ready=f"{serving.ready}/{serving.replicas}",
        url=url_of(observed),
        resolved=with_pod_defaults(status.resolved, settings),
    )


def ready_reason(replicas: int) -> str:
    """Return the reason of Ready=True. replicas: how many servers are asked for."""
    return "AllReady" if replicas else "ScaledToZero"


def common_fields(observed: ObservedDeployment) -> dict[str, Any]:
    """Return the fields that every status has: the generation, and what the scale subresource shows of the pods of all revisions.

    The API server gives the scale only if the spec names a number. Without one the operator of 0.1.0, which refuses fields that it does not
    know, can read the status after a roll-back.
    """
    metadata = observed.deployment.metadata
    if observed.deployment.spec.replicas is None:
        return {"observed_generation": metadata.get("generation"), "replicas": None, "selector": None}
    servers = [
        manifest
        for (kind, name), manifest in observed.present.items()
        if kind == "Deployment" and name != router_name(observed.deployment)
    ]
    return {
        "observed_generation": metadata.get("generation"),
        "replicas": sum((child.get("status") or {}).get("replicas", 0) for child in servers),
        "selector": f"{DEPLOYMENT_LABEL}={metadata['name']},{REVISION_LABEL}",
    }


def with_model(conditions: Conditions, serving: Serving, *, is_read: bool, now: datetime) -> Conditions:
    """Return the conditions with that of the artifact. is_read: a server of the revision has answered."""
    available: bool | None = True if is_read or serving.is_published else None
    reason = "ArtifactFound" if available else "NotRead"
    message = serving.uri if available else f"no server has read {serving.uri} yet"
    if serving.artifact_problem and not serving.ready:
        available, reason, message = False, serving.artifact_problem, serving.trouble
    return with_condition(conditions, "ModelAvailable", true=available, reason=reason, message=message, now=now)


def _reason(observed: ObservedDeployment, serving: Serving) -> str:
    """Return the reason of servers that do not come up; empty if the blocker's message takes its place."""
    return "" if observed.blocker else serving.reason


def waiting(
    observed: ObservedDeployment, *, reason: str, message: str, may_come: bool, now: datetime
) -> ModelDeploymentStatus:
    """Return the status of a deployment whose artifact is not available. A stable revision goes on serving.

    may_come: whether waiting may help.
    """
    status = observed.deployment.status or ModelDeploymentStatus()
    conditions = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    conditions = with_condition(conditions, "ModelAvailable", true=False, reason=reason, message=message, now=now)
    if status.stable is None:
        conditions = with_condition(conditions, READY, true=False, reason="NoModel", message=message, now=now)
    with_outlook = with_reconciling if may_come else with_stalled
    return changed(
        status,
        **common_fields(observed),
        phase=status.phase if status.stable else "Pending",
        conditions=with_outlook(conditions, reason=reason, message=message, now=now),
        **_no_failures(status),
    )


def refused(observed: ObservedDeployment, *, reason: str, message: str, now: datetime) -> ModelDeploymentStatus:
    """Return the status of a deployment that cannot run here. A stable revision goes on serving."""
    status = observed.deployment.status or ModelDeploymentStatus()
    conditions = with_condition(status.conditions, "Accepted", true=False, reason=reason, message=message, now=now)
    if status.stable is None:
        conditions = with_condition(conditions, READY, true=False, reason=reason, message=short(message), now=now)
    conditions = with_stalled(conditions, reason=reason, message=message, now=now)
    return changed(
        status,
        **common_fields(observed),
        phase=status.phase or "Pending",
        conditions=conditions,
        **_no_failures(status),
    )


def _no_failures(status: ModelDeploymentStatus) -> dict[str, Any]:
    """Return the fields of a status that knows of no revision whose servers are looked at."""
    return {"failure": None, "stable": changed(status.stable, failure=None) if status.stable else None}


def _other(status: ModelDeploymentStatus, serving: Serving) -> StableRevision | None:
    """Return the stable revision, where it is another one."""
    return changed(status.stable, failure=serving.stable_failure) if status.stable else None


def _is_stable(status: ModelDeploymentStatus, serving: Serving) -> bool:
    return status.stable is not None and status.stable.revision == serving.revision


def _revision(serving: Serving) -> StableRevision:
    return StableRevision(
        revision=serving.revision,
        digest=serving.digest or "",
        uri=serving.uri,
        replicas=serving.replicas,
        ready_replicas=serving.ready,
    )


def _phase(observed: ObservedDeployment, serving: Serving, stable: StableRevision | None) -> DeploymentPhase:
    if stable is None:
        return "Loading"
    if stable.revision != serving.revision:
        return "Progressing"
    enough = enough_servers(observed, serving.replicas)
    return "Ready" if serving.ready >= enough and observed.blocker is None else "Degraded"


def url_of(observed: ObservedDeployment) -> str:
    """Return the address that users call; in local mode that of the server on this machine."""
    name, namespace = observed.deployment.metadata["name"], observed.deployment.metadata["namespace"]
    service = observed.present.get(("Service", name))
    annotations = (service or {}).get("metadata", {}).get("annotations") or {}
    url: str = annotations.get(LOCAL_URL) or f"http://{name}.{namespace}.svc"
    return url
