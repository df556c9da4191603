"""What to do next for a ModelDeployment: bring up the wanted revision beside the one that answers, switch over, take the old one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.spec import ModelDeploymentStatus
from tuneloop_operator.decide.accept import deployment_refusals
from tuneloop_operator.decide.decision import Decision, Deletion
from tuneloop_operator.desired.common.compare import covers
from tuneloop_operator.desired.model_deployment.service import revision_service, stable_service
from tuneloop_operator.desired.model_deployment.serving import (
    ArtifactSeen,
    server_config,
    server_config_map,
    server_deployment,
)
from tuneloop_operator.names import REVISION_LABEL, revision_name
from tuneloop_operator.state.conditions import holds, with_condition
from tuneloop_operator.status.model_deployment.deployment import Serving, shown, waiting

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def decide(seen: ObservedDeployment, *, now: datetime, settings: OperatorSettings) -> Decision:
    """Return what to write next; a deployment that needs nothing gets an empty decision."""
    if seen.deployment.metadata.get("deletionTimestamp"):
        return Decision()  # its children are removed with it
    if refusals := deployment_refusals(seen.deployment.spec, settings):
        message = "\n".join(str(refusal) for refusal in refusals)
        return _only_status(seen, _refused(seen, reason=refusals[0].reason, message=message, now=now))
    artifact = _artifact(seen)
    if isinstance(artifact, tuple):
        reason, message = artifact
        return _only_status(seen, waiting(seen, reason=reason, message=message, now=now))
    config = server_config(seen.deployment, artifact)
    serving = _serving(seen, config)
    status = shown(seen, serving, now=now)
    if seen.blocker is not None:
        return _only_status(seen, status)
    return _decided(seen, config, status, settings=settings)


def _decided(
    seen: ObservedDeployment, config: ServerConfig, status: ModelDeploymentStatus, *, settings: OperatorSettings
) -> Decision:
    deployment, answers = seen.deployment, status.stable
    main = stable_service(deployment, revision=answers.revision if answers else config.revision)
    wanted = [
        server_deployment(deployment, config, settings=settings),
        revision_service(deployment, revision=config.revision),
        main,
    ]
    missing = tuple(manifest for manifest in wanted if not covers(_stored(seen, manifest), manifest))
    config_map = server_config_map(deployment, config)
    create = () if _stored(seen, config_map) else (config_map,)
    # the old revision goes only once requests are known to go to the new one
    switched = not missing and answers is not None and answers.revision == config.revision
    old = _other_revisions(seen, config.revision) if switched else ()
    if old and not seen.live:
        return Decision(look=True)
    return Decision(status=_if_changed(seen, status), delete=old, apply=missing, create=create)


def _artifact(seen: ObservedDeployment) -> ArtifactSeen | tuple[str, str]:
    """Return the artifact to serve, or the reason and message why there is none."""
    model = seen.deployment.spec.model
    if model.uri is not None:
        return ArtifactSeen(uri=model.uri, digest=model.digest)
    name = model.fine_tune_job_ref.name if model.fine_tune_job_ref else ""
    if seen.source is None:
        return "JobNotFound", f"there is no FineTuneJob {name} in this namespace"
    status = seen.source.status
    if status is None or status.artifact is None or not holds(status.conditions, "Complete"):
        if status is not None and holds(status.conditions, "Failed"):
            return "JobFailed", f"FineTuneJob {name} has failed; it published nothing"
        phase = status.phase if status and status.phase else "Pending"
        return "JobNotFinished", f"FineTuneJob {name} is {phase}; its model is served once it has succeeded"
    return ArtifactSeen(uri=status.artifact.uri, digest=status.artifact.digest)


def _serving(seen: ObservedDeployment, config: ServerConfig) -> Serving:
    name = revision_name(seen.deployment, config.revision)
    stored = seen.present.get(("Deployment", name)) or {}
    status: dict[str, Any] = stored.get("status") or {}
    replicas = seen.deployment.spec.replicas
    return Serving(
        revision=config.revision,
        uri=config.artifact_uri,
        digest=config.digest,
        replicas=1 if replicas is None else replicas,
        ready=status.get("readyReplicas", 0),
        trouble=_trouble(status),
    )


def _trouble(status: dict[str, Any]) -> str:
    """Return what a Deployment says is wrong with its pods."""
    for condition in status.get("conditions") or ():
        good = "False" if condition["type"] == "ReplicaFailure" else "True"
        if condition["type"] in {"ReplicaFailure", "Progressing"} and condition["status"] != good:
            return f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
    return ""


def _other_revisions(seen: ObservedDeployment, revision: str) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(seen.present.items())
        if manifest["metadata"]["labels"].get(REVISION_LABEL, revision) != revision
    )


def _stored(seen: ObservedDeployment, manifest: Manifest) -> Manifest | None:
    return seen.present.get((manifest["kind"], manifest["metadata"]["name"]))


def _refused(seen: ObservedDeployment, *, reason: str, message: str, now: datetime) -> ModelDeploymentStatus:
    status = seen.deployment.status or ModelDeploymentStatus()
    conditions = with_condition(status.conditions, "Accepted", true=False, reason=reason, message=message, now=now)
    generation = seen.deployment.metadata.get("generation")
    update = {"conditions": conditions, "observed_generation": generation, "phase": status.phase or "Pending"}
    return status.model_copy(update=update)


def _only_status(
    seen: ObservedDeployment, status: ModelDeploymentStatus, *, requeue_after: float | None = None
) -> Decision:
    return Decision(status=_if_changed(seen, status), requeue_after=requeue_after)


def _if_changed(seen: ObservedDeployment, status: ModelDeploymentStatus) -> dict[str, Any] | None:
    new = status.to_wire()
    old = seen.deployment.status.to_wire() if seen.deployment.status else None
    return None if new == old else new
