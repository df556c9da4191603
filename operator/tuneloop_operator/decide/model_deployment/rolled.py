"""What to do next for a ModelDeployment with `spec.rollout`: the roll-out decides, and its memory, the Service and the servers follow in this order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.status import ServedRevision
from tuneloop_api.wire.printable import printable_values
from tuneloop_operator.decide.decision import Decision, Deletion, Event, LiveChildren
from tuneloop_operator.decide.model_deployment.budgets import surplus_budgets
from tuneloop_operator.decide.model_deployment.comparison import comparator_objects, surplus_comparator_objects
from tuneloop_operator.decide.model_deployment.counting import counts_alone_differ, seconds_to_wait
from tuneloop_operator.decide.model_deployment.measured import look_again, measured
from tuneloop_operator.decide.model_deployment.revision_servers import revision_servers
from tuneloop_operator.decide.model_deployment.rollout.capacity import revisions_to_delete, servers
from tuneloop_operator.decide.model_deployment.rollout.commands import with_token
from tuneloop_operator.decide.model_deployment.rollout.facts import count_of, ready_of
from tuneloop_operator.decide.model_deployment.rollout.memory import remembered, written
from tuneloop_operator.decide.model_deployment.rollout.recent_events import timed, with_events
from tuneloop_operator.decide.model_deployment.rollout.rollout import decide as decide_rollout
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.decide.model_deployment.rollout.story import story
from tuneloop_operator.decide.model_deployment.rollout_facts import (
    COMMAND,
    MOST_TOKEN_CHARACTERS,
    facts_of,
    unknown_command,
)
from tuneloop_operator.decide.model_deployment.routed import policy_of_servers
from tuneloop_operator.decide.model_deployment.routing import (
    front_service,
    router_objects,
    shown_routers,
    surplus_router_objects,
)
from tuneloop_operator.decide.model_deployment.scaling import (
    autoscaler_objects,
    known_counts,
    owned_by_autoscaler,
    scalings,
    surplus_autoscalers,
    with_number,
)
from tuneloop_operator.decide.model_deployment.serving_failure import failure_event, failure_of
from tuneloop_operator.desired.common.compare import is_current
from tuneloop_operator.desired.model_deployment.disruption import server_budgets
from tuneloop_operator.desired.model_deployment.service import revision_service
from tuneloop_operator.desired.model_deployment.serving import server_config_map
from tuneloop_operator.names import REVISION_LABEL
from tuneloop_operator.status.model_deployment.rollout import ShownRollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts
    from tuneloop_operator.decide.model_deployment.rollout.rollout import NextRollout
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment

Counts = dict[str, int]
"""How many servers each revision is to have."""


def decide(
    observed: ObservedDeployment,
    config: ServerConfig | None,
    shown: Callable[[ShownRollout], ModelDeploymentStatus],
    *,
    now: datetime,
    settings: OperatorSettings,
) -> Decision:
    """Return what to write next.

    config: of the revision that the spec asks for; None while its artifact is not available. The others go on as they were meant to.
    shown: returns the status with a roll-out in it.
    """
    offered = config.revision if config else ""
    facts = facts_of(observed, memory_of(observed), offered=offered, is_local=settings.local)
    found = measured(observed, memory_of(observed), facts.spec, now=now)
    facts = replace(facts, measured=found.measurements)
    following = _with_unknown_command(decide_rollout(found.rollout, facts, now=now), observed)
    happened = timed(following.events, now=now)
    rollout = with_events(following.rollout, happened)
    wanted = servers(rollout, facts, now=now)
    counts, owned = known_counts(observed, wanted), owned_by_autoscaler(observed, wanted)
    rollout_shown = _shown_rollout(observed, config, rollout, facts, counts=counts, now=now)
    rollout_shown = replace(rollout_shown, routers=shown_routers(observed, rollout, settings=settings))
    after = shown(rollout_shown)
    status = _if_changed(observed, after)
    events = (*failure_event(observed.deployment.status, after), *happened)
    if observed.blocker is not None:
        return Decision(status=status, events=events)
    doomed = (
        *_children_of(observed, revisions_to_delete(rollout, facts, now=now)),
        *surplus_router_objects(observed, rollout),
        *surplus_comparator_objects(observed, rollout, facts),
        *surplus_budgets(observed, settings=settings),
        *surplus_autoscalers(observed),
    )
    if doomed and not observed.live:
        return Decision(needs=LiveChildren())
    comparator = comparator_objects(observed, rollout, facts, settings=settings)
    is_counting = status is not None and counts_alone_differ(_stored_status(observed), status)
    wait = seconds_to_wait(observed.progress_written, now=now, settings=settings) if is_counting else 0.0
    return Decision(
        status=None if wait else status,
        progress_only=is_counting and not wait,
        delete=doomed,
        # the comparator last: trouble with it must keep nothing back that requests need
        apply=(
            *_missing(observed, config, rollout, counts, owned=owned, settings=settings),
            *_not_current(observed, autoscaler_objects(observed, wanted)),
            *_not_current(observed, comparator.apply),
        ),
        create=(*_config_maps(observed, config, counts), *_not_there(observed, comparator.create)),
        scale=scalings(observed, counts, owned=owned, applied=offered),
        events=events,
        requeue_after=_sooner(following.requeue_after, look_again(found.measurements), wait or None),
    )


def memory_of(observed: ObservedDeployment) -> Rollout | None:
    """Return what the status remembers of roll-outs; None if there was none."""
    status = observed.deployment.status
    return remembered(status.rollout) if status is not None and status.rollout is not None else None


def _with_unknown_command(following: NextRollout, observed: ObservedDeployment) -> NextRollout:
    """Return what follows with an Event about a command that nobody knows, once."""
    annotations = observed.deployment.metadata.get("annotations") or {}
    problem, token = unknown_command(annotations), annotations.get(COMMAND, "")[:MOST_TOKEN_CHARACTERS]
    if not problem or token in following.rollout.commands:
        return following
    event = Event(type="Warning", reason="CommandUnknown", message=problem)
    return replace(following, rollout=with_token(following.rollout, token), events=(*following.events, event))


def _missing(
    observed: ObservedDeployment,
    config: ServerConfig | None,
    rollout: Rollout,
    counts: Counts,
    *,
    owned: frozenset[str],
    settings: OperatorSettings,
) -> tuple[Manifest, ...]:
    """Return what is not there as it should be. Of another revision than the spec asks for, only the number of servers can change."""
    deployment = observed.deployment
    desired = [] if settings.local else [policy_of_servers(observed, settings=settings)]
    if config is not None and config.revision in counts:
        revision = config.revision
        is_on_trial = rollout.canary == revision and rollout.phase is not Phase.STARTING
        made = revision_servers(observed, config, settings=settings, is_on_trial=is_on_trial)
        is_owned = revision in owned
        desired.append(with_number(made, _stored(observed, made), count=counts[revision], is_owned=is_owned))
        desired.append(revision_service(deployment, revision=config.revision))
    # the Service before the routers: it leads to those that are there, and trouble with their objects must not keep it back
    desired.append(front_service(observed, rollout, settings=settings))
    desired += router_objects(observed, rollout, settings=settings)
    desired += server_budgets(deployment, counts) if settings.has_budgets else ()
    return _not_current(observed, desired)


def _not_current(observed: ObservedDeployment, desired: Iterable[Manifest]) -> tuple[Manifest, ...]:
    return tuple(manifest for manifest in desired if not is_current(_stored(observed, manifest), _compared(manifest)))


def _not_there(observed: ObservedDeployment, desired: Iterable[Manifest]) -> tuple[Manifest, ...]:
    return tuple(manifest for manifest in desired if not _stored(observed, manifest))


def _compared(manifest: Manifest) -> Manifest:
    """Return what is compared with the stored object. The store has no data of a ConfigMap; a digest stands for them."""
    return {key: value for key, value in manifest.items() if (manifest["kind"], key) != ("ConfigMap", "data")}


def _config_maps(observed: ObservedDeployment, config: ServerConfig | None, counts: Counts) -> tuple[Manifest, ...]:
    """Return the configuration of a revision that has none yet."""
    if config is None or config.revision not in counts:
        return ()
    return _not_there(observed, [server_config_map(observed.deployment, config)])


def _children_of(observed: ObservedDeployment, revisions: tuple[str, ...]) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if manifest["metadata"]["labels"].get(REVISION_LABEL) in revisions
    )


def _shown_rollout(
    observed: ObservedDeployment,
    config: ServerConfig | None,
    rollout: Rollout,
    facts: Facts,
    *,
    counts: Counts,
    now: datetime,
) -> ShownRollout:
    return ShownRollout(
        memory=written(rollout),
        story=story(rollout, facts.spec, now=now) + (f"; spec.model.pin keeps {facts.pinned}" if facts.pinned else ""),
        revisions=_revisions(observed, config, facts, counts),
        is_rejected=any(found.revision == (facts.pinned or facts.offered) for found in rollout.rejected),
        failure=failure_of(observed, rollout.canary or rollout.stable, offered=facts.offered),
        stable_failure=failure_of(observed, rollout.stable, offered=facts.offered) if rollout.canary else None,
    )


def _revisions(
    observed: ObservedDeployment, config: ServerConfig | None, facts: Facts, counts: Counts
) -> tuple[ServedRevision, ...]:
    """Return the revisions with what is known of them: a Deployment does not name its artifact, the status that saw it come does."""
    status = observed.deployment.status
    known = {found.revision: found for found in (status.revisions if status and status.revisions else ())}
    if status is not None and status.stable is not None:
        known.setdefault(status.stable.revision, status.stable)
    if config is not None:
        digest, uri = config.digest or "", config.artifact_uri
        known[config.revision] = ServedRevision(revision=config.revision, digest=digest, uri=uri)
    names = [*facts.revisions, *(name for name in counts if name not in facts.revisions)]
    return tuple(
        ServedRevision(
            revision=name,
            digest=known[name].digest if name in known else "",
            uri=known[name].uri if name in known else "",
            replicas=counts.get(name, count_of(facts, name)),
            ready_replicas=ready_of(facts, name),
        )
        for name in names
    )


def _stored(observed: ObservedDeployment, manifest: Manifest) -> Manifest | None:
    return observed.present.get((manifest["kind"], manifest["metadata"]["name"]))


def _sooner(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)


def _if_changed(observed: ObservedDeployment, status: ModelDeploymentStatus) -> dict[str, Any] | None:
    new: dict[str, Any] = printable_values(status.to_wire())
    return None if new == _stored_status(observed) else new


def _stored_status(observed: ObservedDeployment) -> dict[str, Any] | None:
    return observed.deployment.status.to_wire() if observed.deployment.status else None
