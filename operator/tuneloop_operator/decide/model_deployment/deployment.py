"""What to do next for a ModelDeployment: start the new revision beside the stable one, switch requests over, delete the old revision."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.model import changed
from tuneloop_api.wire.printable import printable_values
from tuneloop_operator.decide.decision import Decision, Deletion, Event, LiveChildren, MountFailures
from tuneloop_operator.decide.model_deployment import rolled
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.decide.model_deployment.accept_retraining import retraining_refusals
from tuneloop_operator.decide.model_deployment.artifacts import NEVER_COMES, artifact_of, chosen_artifact
from tuneloop_operator.decide.model_deployment.baseline import with_monitoring
from tuneloop_operator.decide.model_deployment.budgets import surplus_budgets
from tuneloop_operator.decide.model_deployment.comparison import surplus_comparator_objects
from tuneloop_operator.decide.model_deployment.offered_config import config_of
from tuneloop_operator.decide.model_deployment.pin import pin_refusals
from tuneloop_operator.decide.model_deployment.retrained import joined, looped, misses_its_job
from tuneloop_operator.decide.model_deployment.revision_servers import revision_servers
from tuneloop_operator.decide.model_deployment.rollout_spec import has_rollouts
from tuneloop_operator.decide.model_deployment.routed import policy_of_servers
from tuneloop_operator.decide.model_deployment.routing import surplus_router_objects
from tuneloop_operator.decide.model_deployment.scaling import (
    autoscaler_objects,
    known_counts,
    owned_by_autoscaler,
    plain_servers,
    scalings,
    surplus_autoscalers,
    with_number,
)
from tuneloop_operator.decide.model_deployment.serving_failure import failure_of
from tuneloop_operator.decide.model_deployment.trouble import trouble_of
from tuneloop_operator.decide.refusal import message_of, refusal_events
from tuneloop_operator.desired.common.compare import is_current
from tuneloop_operator.desired.common.volumes import has_given_volumes
from tuneloop_operator.desired.model_deployment.disruption import server_budgets
from tuneloop_operator.desired.model_deployment.feedback import takes_feedback
from tuneloop_operator.desired.model_deployment.service import revision_service, stable_service
from tuneloop_operator.desired.model_deployment.serving import server_config_map
from tuneloop_operator.desired.model_deployment.startup import default_startup_seconds
from tuneloop_operator.names import REVISION_LABEL, revision_name
from tuneloop_operator.state.conditions import condition
from tuneloop_operator.state.mounts import mounts_in, unread_mounts
from tuneloop_operator.status.blockers import blocker_in
from tuneloop_operator.status.model_deployment.deployment import OVERDUE, Serving, refused, shown, waiting
from tuneloop_operator.status.model_deployment.rollout import shown as shown_with_rollout
from tuneloop_operator.status.model_deployment.rollout import with_rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.desired.model_deployment.serving import ArtifactReference
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment, ObservedPod, ServerPod
    from tuneloop_operator.status.model_deployment.rollout import ShownRollout


def decide(observed: ObservedDeployment, *, now: datetime, settings: OperatorSettings) -> Decision:
    """Return what to write next, or the fact that is missing. The same input gives the same decision."""
    if observed.deployment.metadata.get("deletionTimestamp"):
        return Decision()  # the API server removes its children with it
    if refusals := deployment_refusals(observed.deployment.spec, settings):
        reason, message = refusals[0].reason, message_of(refusals)
        status = refused(observed, reason=reason, message=message, now=now)
        return _with_refusal(observed, status, _only_status(observed, status))
    if refusals := retraining_refusals(observed):
        status = refused(observed, reason=refusals[0].reason, message=message_of(refusals), now=now)
        return _with_refusal(observed, status, _as_it_is(observed, status, now=now, settings=settings))
    if misses_its_job(observed):
        return Decision(needs=LiveChildren())
    loop = looped(observed, now=now, settings=settings)
    return joined(_served(loop.observed, now=now, settings=settings), loop)


def _served(observed: ObservedDeployment, *, now: datetime, settings: OperatorSettings) -> Decision:
    """Return what to write next for the servers of the model that is offered."""
    artifact = artifact_of(observed)
    if isinstance(artifact, tuple):
        reason, message = artifact
        may_come = reason not in NEVER_COMES
        status = waiting(observed, reason=reason, message=message, may_come=may_come, now=now)
        return _as_it_is(observed, status, now=now, settings=settings)
    config = _with_time_to_load(observed, config_of(observed, artifact, settings), artifact)
    if refusals := pin_refusals(observed, offered=config.revision):
        status = refused(observed, reason=refusals[0].reason, message=message_of(refusals), now=now)
        return _with_refusal(observed, status, _as_it_is(observed, status, now=now, settings=settings))
    return _with_config(observed, config, now=now, settings=settings)


def _with_refusal(observed: ObservedDeployment, status: ModelDeploymentStatus, decision: Decision) -> Decision:
    """Return the decision with an Event about the refusal in the status."""
    before = observed.deployment.status
    events = refusal_events(before.conditions if before else None, status.conditions)
    return replace(decision, events=(*events, *decision.events))


def _as_it_is(
    observed: ObservedDeployment, status: ModelDeploymentStatus, *, now: datetime, settings: OperatorSettings
) -> Decision:
    """Return the decision with which no other revision is taken up. A roll-out that is under way goes on, or back."""
    if not has_rollouts(observed.deployment) or rolled.memory_of(observed) is None:
        return _only_status(observed, status)
    show = partial(with_rollout, status)
    return rolled.decide(observed, None, _monitored(show, observed, now, settings), now=now, settings=settings)


def _with_config(
    observed: ObservedDeployment, config: ServerConfig, *, now: datetime, settings: OperatorSettings
) -> Decision:
    volumes = _pods_with_volumes(observed, config, settings=settings)
    uids = [uid for pods, has in volumes for uid in unread_mounts(pods, is_expected=has, now=now)]
    if observed.blocker is None and uids:
        return Decision(needs=MountFailures(pod_uids=tuple(uids)))
    serving = _serving(observed, config)
    if has_rollouts(observed.deployment):
        show = partial(shown_with_rollout, observed, serving, now=now, settings=settings)
        decision = rolled.decide(
            observed, config, _monitored(show, observed, now, settings), now=now, settings=settings
        )
    elif observed.blocker is not None:
        return _only_status(observed, _shown(observed, serving, now=now, settings=settings))
    else:
        decision = _decided(observed, config, serving, now=now, settings=settings)
    mounts = [mounts_in(pods, is_expected=has, now=now) for pods, has in volumes]
    return replace(decision, requeue_after=_sooner(decision.requeue_after, *mounts))


def _pods_with_volumes(
    observed: ObservedDeployment, config: ServerConfig, *, settings: OperatorSettings
) -> list[tuple[Sequence[ObservedPod], bool]]:
    """Return the servers and the routers, with whether they have volumes that others fill: those of the spec, and the keys of feedback and of clients."""
    spec = observed.deployment.spec
    has_keys = spec.api_key_secret_ref is not None and not settings.local
    return [
        (_pods(observed, config), has_given_volumes(spec, settings) or takes_feedback(spec)),
        (observed.router_pods, has_keys),
    ]


def _decided(
    observed: ObservedDeployment, config: ServerConfig, serving: Serving, *, now: datetime, settings: OperatorSettings
) -> Decision:
    status = _shown(observed, serving, now=now, settings=settings)
    deployment, stable = observed.deployment, status.stable
    wanted = plain_servers(observed, offered=config.revision, stable=stable.revision if stable else None)
    counts, servers = known_counts(observed, wanted), revision_servers(observed, config, settings=settings)
    owned = owned_by_autoscaler(observed, wanted)
    desired = [
        *([] if settings.local else [policy_of_servers(observed, settings=settings)]),
        with_number(
            servers,
            _stored(observed, servers),
            count=counts[config.revision],
            is_owned=config.revision in owned,
        ),
        revision_service(deployment, revision=config.revision),
        stable_service(deployment, revision=stable.revision if stable else config.revision),
        *(server_budgets(deployment, counts) if settings.has_budgets else ()),
        *autoscaler_objects(observed, wanted),
    ]
    missing = tuple(manifest for manifest in desired if not is_current(_stored(observed, manifest), manifest))
    config_map = server_config_map(deployment, config)
    create = () if _stored(observed, config_map) else (config_map,)
    earlier = blocker_in(observed.deployment.status.conditions if observed.deployment.status else None)
    if (missing or create) and earlier is not None:  # the blocker stands in the status until what it blocks is there
        status = _shown(replace(observed, blocker=earlier), serving, now=now, settings=settings)
    # the old revision is deleted only once requests go to the new revision
    is_switched = not missing and stable is not None and stable.revision == config.revision
    surplus = (*surplus_router_objects(observed, None), *surplus_comparator_objects(observed, None, None))
    old = (*_other_revisions(observed, config.revision), *surplus) if is_switched else ()
    old += (*surplus_budgets(observed, settings=settings), *surplus_autoscalers(observed))
    if old and not observed.live:
        return Decision(needs=LiveChildren())
    events = _events(observed, status)
    return Decision(
        status=_if_changed(observed, status),
        delete=old,
        apply=missing,
        create=create,
        scale=scalings(observed, counts, owned=owned, applied=config.revision),
        events=events,
    )


def _shown(
    observed: ObservedDeployment, serving: Serving, *, now: datetime, settings: OperatorSettings
) -> ModelDeploymentStatus:
    return with_monitoring(shown(observed, serving, now=now, settings=settings), observed, now=now, settings=settings)


def _monitored(
    show: Callable[[ShownRollout], ModelDeploymentStatus],
    observed: ObservedDeployment,
    now: datetime,
    settings: OperatorSettings,
) -> Callable[[ShownRollout], ModelDeploymentStatus]:
    """Return what shows a roll-out, with the baseline of what is stable after it."""
    return lambda found: with_monitoring(show(found), observed, now=now, settings=settings)


def _events(observed: ObservedDeployment, status: ModelDeploymentStatus) -> tuple[Event, ...]:
    """Return an event for the trouble of the servers, once: not at each new start of a server, nor at each new pull of an image."""
    before = observed.deployment.status
    old, new = (condition(found.conditions, "Ready") if found else None for found in (before, status))
    if new is None or new.status == "True" or new.reason == status.phase:
        return ()
    if old is not None and old.reason == new.reason:
        return ()
    return (Event(type="Warning", reason=new.reason, message=new.message),)


def _with_time_to_load(observed: ObservedDeployment, config: ServerConfig, artifact: ArtifactReference) -> ServerConfig:
    """Return the configuration with time for an artifact of this size, where the spec names no time. The revision keeps its name."""
    lifecycle = observed.deployment.spec.lifecycle
    if lifecycle is not None and lifecycle.startup is not None:
        return config
    stored = observed.present.get(("Deployment", revision_name(observed.deployment, config.revision)))
    return changed(config, startup_seconds=default_startup_seconds(artifact.size_bytes, stored=stored))


def _serving(observed: ObservedDeployment, config: ServerConfig) -> Serving:
    name = revision_name(observed.deployment, config.revision)
    stored = observed.present.get(("Deployment", name)) or {}
    status: dict[str, Any] = stored.get("status") or {}
    trouble = trouble_of(_pods(observed, config), status)
    before = observed.deployment.status
    stable = before.stable.revision if before and before.stable else None
    wanted = plain_servers(observed, offered=config.revision, stable=stable)
    return Serving(
        revision=config.revision,
        uri=config.artifact_uri,
        digest=config.digest,
        replicas=known_counts(observed, wanted)[config.revision],
        ready=status.get("readyReplicas", 0),
        is_published=observed.source is not None or chosen_artifact(observed) is not None,
        trouble=trouble.message,
        reason=trouble.reason,
        artifact_problem=trouble.artifact,
        failure=failure_of(observed, config.revision, offered=config.revision),
        stable_failure=failure_of(observed, stable, offered=config.revision) if stable else None,
        is_overdue=any(found.get("reason") == OVERDUE for found in status.get("conditions") or ()),
    )


def _pods(observed: ObservedDeployment, config: ServerConfig) -> list[ServerPod]:
    return [pod for pod in observed.pods if pod.revision == config.revision]


def _other_revisions(observed: ObservedDeployment, revision: str) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if manifest["metadata"]["labels"].get(REVISION_LABEL, revision) != revision
    )


def _stored(observed: ObservedDeployment, manifest: Manifest) -> Manifest | None:
    return observed.present.get((manifest["kind"], manifest["metadata"]["name"]))


def _sooner(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _only_status(observed: ObservedDeployment, status: ModelDeploymentStatus) -> Decision:
    return Decision(status=_if_changed(observed, status))


def _if_changed(observed: ObservedDeployment, status: ModelDeploymentStatus) -> dict[str, Any] | None:
    new: dict[str, Any] = printable_values(status.to_wire())
    old = observed.deployment.status.to_wire() if observed.deployment.status else None
    return None if new == old else new
