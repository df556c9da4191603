"""Who says how many servers a revision has: the operator, or the autoscaler for the revision that carries the requests.

The autoscaler owns the number of a Deployment that is there and has servers. The operator writes that of one that is new, and of one without
servers, which no autoscaler touches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tuneloop_operator.decide.decision import Deletion, Scaling
from tuneloop_operator.decide.model_deployment.rollout.capacity import Servers
from tuneloop_operator.desired.model_deployment.autoscaler import autoscaler
from tuneloop_operator.names import REVISION_LABEL, revision_name

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.state.observed import ObservedDeployment

_KIND: Final = "HorizontalPodAutoscaler"


def plain_servers(observed: ObservedDeployment, *, offered: str, stable: str | None) -> Servers:
    """Return how many servers each revision is to have without `spec.rollout`.

    A new revision gets as many as carry the requests now: it takes all of them at once. stable: the revision that carries them; None: none yet.
    """
    spec = observed.deployment.spec
    scaling = spec.autoscaling
    if scaling is None:
        return Servers(counts=((offered, spec.least_servers),))
    counts = stored_counts(observed)
    if stable is None or stable == offered or stable not in counts:
        return Servers(counts=((offered, None),), autoscaled=offered, floor=scaling.least)
    full = min(max(scaling.least, counts[stable]), scaling.max)
    return Servers(counts=((stable, None), (offered, full)), autoscaled=stable, floor=full)


def known_counts(observed: ObservedDeployment, wanted: Servers) -> dict[str, int]:
    """Return how many servers each revision is to have; of the autoscaled one, how many it was last given."""
    stored = stored_counts(observed)
    return {
        revision: max(stored.get(revision, 0), wanted.floor) if count is None else count
        for revision, count in wanted.counts
    }


def stored_counts(observed: ObservedDeployment) -> dict[str, int]:
    """Return how many servers the Deployment of each revision asks for."""
    return {
        manifest["metadata"]["labels"][REVISION_LABEL]: manifest["spec"].get("replicas", 1)
        for (kind, _), manifest in observed.present.items()
        if kind == "Deployment" and REVISION_LABEL in manifest["metadata"]["labels"]
    }


def owned_by_autoscaler(observed: ObservedDeployment, wanted: Servers) -> frozenset[str]:
    """Return the revisions whose number the autoscaler owns: the one that it is to aim at, and the one that it still aims at."""
    stored = observed.present.get((_KIND, observed.deployment.metadata["name"]))
    if not wanted.autoscaled or stored is None:
        return frozenset({wanted.autoscaled} - {""})
    aim = stored["spec"]["scaleTargetRef"]["name"].removeprefix(revision_name(observed.deployment, ""))
    return frozenset({wanted.autoscaled, aim})


def with_number(servers: Manifest, stored: Manifest | None, *, count: int, is_owned: bool) -> Manifest:
    """Return the Deployment of a revision with its number of pods; without, if the autoscaler owns it. stored: None if it is new."""
    spec = {key: value for key, value in servers["spec"].items() if key != "replicas"}
    return servers | {"spec": spec if is_owned and stored is not None else spec | {"replicas": count}}


def scalings(
    observed: ObservedDeployment, counts: dict[str, int], *, owned: frozenset[str], applied: str
) -> tuple[Scaling, ...]:
    """Return the numbers of pods to write. owned: the revisions whose numbers are written only if they have none; applied: the one that is applied whole."""
    found = []
    for revision, count in counts.items():
        name = revision_name(observed.deployment, revision)
        stored = observed.present.get(("Deployment", name))
        if stored is None:
            continue
        now = stored["spec"].get("replicas", 1)
        is_due = now != count and (now == 0 if revision in owned else revision != applied)
        if is_due:
            found.append(Scaling(name=name, uid=stored["metadata"]["uid"], replicas=count))
    return tuple(found)


def autoscaler_objects(observed: ObservedDeployment, wanted: Servers) -> tuple[Manifest, ...]:
    """Return the autoscaler; empty if there is to be none."""
    scaling = observed.deployment.spec.autoscaling
    if scaling is None or not wanted.autoscaled:
        return ()
    return (autoscaler(observed.deployment, scaling, revision=wanted.autoscaled, floor=wanted.floor),)


def surplus_autoscalers(observed: ObservedDeployment) -> tuple[Deletion, ...]:
    """Return the autoscaler that the spec asks for no longer. It goes before a number is written that it would change again."""
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if kind == _KIND and observed.deployment.spec.autoscaling is None
    )
