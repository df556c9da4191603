"""Whether a comparator runs beside a roll-out, and its objects: they come once there is something to ask, and go with the roll-out.

The comparator's objects are never needed for a request of a client, so that trouble with them keeps nothing else back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Deletion
from tuneloop_operator.decide.model_deployment.measured import judging_gates
from tuneloop_operator.decide.model_deployment.rollout.facts import ready_of
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Strategy
from tuneloop_operator.desired.model_deployment.comparator import (
    comparator_config,
    comparator_config_map,
    comparator_deployment,
    comparator_policy,
    comparator_service,
    golden_set_of,
)
from tuneloop_operator.names import COMPARATOR, COMPONENT_LABEL

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import ComparatorConfig
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.facts import Facts
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment

_COMPARED = frozenset({Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED, Phase.HELD})
"""Phases in which the canary is judged."""


@dataclass(frozen=True, kw_only=True)
class ComparatorObjects:
    """What a comparator needs."""

    create: tuple[Manifest, ...] = ()
    """Its configuration, which never changes."""
    apply: tuple[Manifest, ...] = ()


def comparator_objects(
    observed: ObservedDeployment, rollout: Rollout, facts: Facts, *, settings: OperatorSettings
) -> ComparatorObjects:
    """Return the comparator of this pair of revisions; nothing where nobody compares them, or where the canary cannot be asked yet."""
    config = _config(observed, rollout, facts)
    if config is None:
        return ComparatorObjects()
    deployment = observed.deployment
    policies = () if settings.local else (comparator_policy(deployment, settings=settings),)
    return ComparatorObjects(
        create=(comparator_config_map(deployment, config),),
        apply=(
            *policies,
            comparator_service(deployment),
            comparator_deployment(deployment, config, golden_set=golden_set_of(deployment), settings=settings),
        ),
    )


def surplus_comparator_objects(
    observed: ObservedDeployment, rollout: Rollout | None, facts: Facts | None
) -> tuple[Deletion, ...]:
    """Return what belongs to a comparator that compares nothing any more, and the configurations of earlier pairs.

    Its NetworkPolicy stays, and selects nothing: the operator has no right to delete any.
    """
    config = _config(observed, rollout, facts) if rollout is not None and facts is not None else None
    kept = comparator_config_map(observed.deployment, config)["metadata"]["name"] if config is not None else ""
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if manifest["metadata"]["labels"].get(COMPONENT_LABEL) == COMPARATOR
        and (name != kept if kind == "ConfigMap" else kind != "NetworkPolicy" and config is None)
    )


def is_compared(deployment: ModelDeployment, rollout: Rollout) -> bool:
    """Whether the canary of a roll-out is compared with stable."""
    options = deployment.spec.rollout
    if options is None or not rollout.canary or rollout.is_forced or rollout.phase not in _COMPARED:
        return False
    return (
        bool(judging_gates(options, rollout.strategy))
        or rollout.strategy is Strategy.SHADOW
        or options.on_thin_traffic == "Replay"
    )


def _config(observed: ObservedDeployment, rollout: Rollout, facts: Facts) -> ComparatorConfig | None:
    """Return the configuration of the comparator; None where there is to be none.

    It begins once the canary has a ready server: it asks both revisions what they do before it compares.
    """
    deployment = observed.deployment
    if not is_compared(deployment, rollout):
        return None
    config = comparator_config(
        deployment, stable=rollout.stable, canary=rollout.canary, golden_set=golden_set_of(deployment)
    )
    name = comparator_config_map(deployment, config)["metadata"]["name"]
    has_begun = ("ConfigMap", name) in observed.present
    return config if has_begun or ready_of(facts, rollout.canary) else None
