"""Which objects the routing of a deployment needs: the Service that users call, and the routers with what they need. Requests always have a target.

The Service leads to a revision itself until a ready router follows the split that is wanted; from then on to the routers, for as long as the
deployment has any. Routers go once the Service leads to a revision again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.decision import Deletion
from tuneloop_operator.decide.model_deployment.rollout.memory import written
from tuneloop_operator.decide.model_deployment.rollout.state import Strategy
from tuneloop_operator.decide.model_deployment.routed import endpoints_by_revision, split_with
from tuneloop_operator.decide.model_deployment.router_facts import (
    has_routers,
    leads_to_routers,
    reporting_routers,
    router_count,
)
from tuneloop_operator.decide.model_deployment.trouble import trouble_of
from tuneloop_operator.desired.model_deployment.disruption import router_budgets
from tuneloop_operator.desired.model_deployment.router import router_config_map, router_deployment, router_policy
from tuneloop_operator.desired.model_deployment.service import (
    endpoints_name,
    endpoints_service,
    routed_service,
    stable_service,
)
from tuneloop_operator.names import COMPONENT_LABEL, REVISION_LABEL, ROUTER, router_name
from tuneloop_operator.status.model_deployment.rollout import ShownRouters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


def front_service(observed: ObservedDeployment, rollout: Rollout, *, settings: OperatorSettings) -> Manifest:
    """Return the Service that users call."""
    if _may_lead_to_routers(observed, rollout, settings=settings):
        return routed_service(observed.deployment, stable=rollout.stable)
    return stable_service(observed.deployment, revision=_with_all_requests(rollout))


def router_objects(
    observed: ObservedDeployment, rollout: Rollout, *, settings: OperatorSettings
) -> tuple[Manifest, ...]:
    """Return the routers and what they need; empty for a deployment without routers."""
    deployment = observed.deployment
    if not has_routers(deployment, rollout.strategy):
        return ()
    endpoints_of = endpoints_by_revision(observed)
    split = split_with(observed, written(rollout), settings=settings)
    policies = () if settings.local else (router_policy(deployment, settings=settings),)
    count = router_count(observed, is_local=settings.local)
    return (
        *policies,
        *(
            endpoints_service(deployment, revision=name, port=endpoints_of(name).port)
            for name in _named(rollout)
            if not settings.local
        ),
        router_config_map(deployment, split, settings=settings),
        router_deployment(
            deployment,
            image=settings.router_image,
            replicas=count,
            settings=settings,
        ),
        *(router_budgets(deployment, count) if settings.has_budgets else ()),
    )


def shown_routers(observed: ObservedDeployment, rollout: Rollout, *, settings: OperatorSettings) -> ShownRouters | None:
    """Return the routers as the status shows them; None for a deployment without routers."""
    if not has_routers(observed.deployment, rollout.strategy):
        return None
    stored = observed.present.get(("Deployment", router_name(observed.deployment))) or {}
    return ShownRouters(
        carry=leads_to_routers(observed),
        ready=sum(pod.ready for pod in observed.router_pods),
        count=router_count(observed, is_local=settings.local),
        trouble=_with_key(observed, trouble_of(observed.router_pods, stored.get("status") or {}).message),
    )


def _with_key(observed: ObservedDeployment, trouble: str) -> str:
    """Return the trouble of routers, with the Secret and the key that they need: the kubelet names the one or the other."""
    reference = observed.deployment.spec.api_key_secret_ref
    if reference is None or not any(pod.mount_failure for pod in observed.router_pods):
        return trouble
    return f"{trouble}; spec.access.apiKeySecretRef: Secret {reference.name} with key {reference.key} is needed"


def surplus_router_objects(observed: ObservedDeployment, rollout: Rollout | None) -> tuple[Deletion, ...]:
    """Return what belongs to routers that no request needs any more. rollout: None for a deployment without `spec.rollout`.

    Their NetworkPolicy stays, and selects nothing: the operator has no right to delete any.
    """
    is_needed = rollout is not None and has_routers(observed.deployment, rollout.strategy)
    if is_needed or leads_to_routers(observed):
        return ()
    return tuple(
        Deletion(kind=kind, name=name, uid=manifest["metadata"]["uid"])
        for (kind, name), manifest in sorted(observed.present.items())
        if _is_of_routers(observed, kind, name, manifest)
    )


def _may_lead_to_routers(observed: ObservedDeployment, rollout: Rollout, *, settings: OperatorSettings) -> bool:
    """Whether requests go by routers: they do already, or a ready one follows what is wanted. Where a key is needed nothing else checks it."""
    spec = observed.deployment.spec
    if spec.api_key_secret_ref is not None:
        return True
    if rollout.strategy is Strategy.RECREATE and not spec.has_limited_access:
        return False
    if leads_to_routers(observed):
        return True
    ready = {pod.name for pod in observed.router_pods if pod.ready}
    routers = reporting_routers(observed, rollout, is_local=settings.local)
    return any(router.name in ready and router.generation == rollout.split.generation for router in routers)


def _with_all_requests(rollout: Rollout) -> str:
    """Return the revision that gets all requests, else the one that takes over where another one fails."""
    return next((revision for revision, weight in rollout.split.weights if weight == 100), rollout.stable)


def _named(rollout: Rollout) -> Iterator[str]:
    """Yield the revisions that the split names, and the one that it is going to name."""
    names = (rollout.stable, rollout.canary, *(revision for revision, _ in rollout.split.weights))
    yield from sorted({name for name in names if name})


def _is_of_routers(observed: ObservedDeployment, kind: str, name: str, manifest: Manifest) -> bool:
    labels = manifest["metadata"]["labels"]
    if labels.get(COMPONENT_LABEL) == ROUTER:
        return kind != "NetworkPolicy"
    revision = labels.get(REVISION_LABEL)
    return kind == "Service" and revision is not None and name == endpoints_name(observed.deployment, revision)
