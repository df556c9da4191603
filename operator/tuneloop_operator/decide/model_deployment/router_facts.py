"""Who carries the requests of a deployment, and what routers report: facts of a roll-out that are taken from the Service and the routers' pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.decide.model_deployment.rollout.facts import SERVICE
from tuneloop_operator.decide.model_deployment.rollout.state import Router, Strategy
from tuneloop_operator.decide.model_deployment.rollout_spec import sticky_header_of, strategy_of
from tuneloop_operator.desired.model_deployment.access import router_limits
from tuneloop_operator.names import COMPONENT_LABEL, REVISION_LABEL, ROUTER, STABLE_REVISION

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout
    from tuneloop_operator.state.observed import ObservedDeployment
    from tuneloop_operator.state.router_report import RouterReport


def has_routers(deployment: ModelDeployment, strategy: str) -> bool:
    """Whether a deployment has routers. strategy: of its current roll-out; routers come before the first one that needs them, and go after the last.

    Limits of access need them whatever the strategy is.
    """
    strategies = {Strategy(strategy), strategy_of(deployment)}
    return deployment.spec.has_limited_access or strategies != {Strategy.RECREATE}


def router_count(observed: ObservedDeployment, *, is_local: bool) -> int:
    """Return how many routers a deployment gets: a second one where there may be a second server."""
    spec = observed.deployment.spec
    most = spec.least_servers if spec.autoscaling is None else spec.autoscaling.max
    return 2 if not is_local and most > 1 else 1


def leads_to_routers(observed: ObservedDeployment) -> bool:
    """Whether the Service that users call leads to routers; else it leads to a revision, or is not there."""
    return _selector(_front(observed)).get(COMPONENT_LABEL) == ROUTER


def serving_revision(observed: ObservedDeployment) -> str:
    """Return the revision to which the Service leads, or which is stable behind its routers; empty if there is none."""
    front = _front(observed)
    if leads_to_routers(observed):
        annotations: dict[str, str] = front["metadata"].get("annotations") or {}
        return annotations.get(STABLE_REVISION, "")
    return _selector(front).get(REVISION_LABEL, "")


def carrying_routers(observed: ObservedDeployment, rollout: Rollout | None, *, is_local: bool) -> tuple[Router, ...]:
    """Return who carries requests: the routers if the Service leads to them; else the Service, which follows the newest split in which its revision
    has all requests.
    """
    if leads_to_routers(observed):
        return reporting_routers(observed, rollout, is_local=is_local)
    serving = serving_revision(observed)
    if rollout is None or not serving:
        return ()
    splits = [split for split in (*rollout.earlier, rollout.split) if split.weight_of(serving) == 100]
    return (Router(name=SERVICE, generation=splits[-1].generation if splits else None),)


def standby_routers(observed: ObservedDeployment, rollout: Rollout | None, *, is_local: bool) -> tuple[Router, ...]:
    """Return the routers to which the Service does not lead yet: nobody waits for them."""
    return () if leads_to_routers(observed) else reporting_routers(observed, rollout, is_local=is_local)


def reporting_routers(observed: ObservedDeployment, rollout: Rollout | None, *, is_local: bool) -> tuple[Router, ...]:
    """Return each router whose pod exists, with what it last reported."""
    reports = {report.router: report for report in observed.routers}
    if is_local:  # there is one, and its process has another name than its pod
        reports = {pod.name: report for pod in observed.router_pods for report in observed.routers}
    wanted = rollout.split.generation if rollout is not None else None
    return tuple(_router(pod.name, reports.get(pod.name), wanted=wanted) for pod in observed.router_pods)


def serving_port(observed: ObservedDeployment, revision: str) -> int | None:
    """Return the port of this machine at which a revision answers in local mode, where routers know one server of each; None: none has started.

    It is that of the oldest server that is ready, which stays when others come and go.
    """
    started = [pod for pod in observed.pods if pod.revision == revision and pod.port is not None]
    chosen = min(started, key=lambda pod: (not pod.ready, pod.created, pod.name), default=None)
    return chosen.port if chosen is not None else None


def routing_digest(observed: ObservedDeployment, rollout: Rollout | None, *, is_local: bool) -> str:
    """Return what routers are told beside the shares, as a digest; empty: nothing. In local mode the ports of the servers that answer and of the comparator are among it.

    A router takes only growing generations: what has another digest needs another generation.
    """
    if not has_routers(observed.deployment, rollout.strategy if rollout is not None else Strategy.RECREATE):
        return ""
    header = sticky_header_of(observed.deployment)
    named = sorted({rollout.stable, rollout.canary}) if rollout is not None and is_local else ()
    ports = [(revision, port) for revision in named if (port := serving_port(observed, revision)) is not None]
    copies = sorted(pod.port for pod in observed.comparator_pods if is_local and pod.port is not None)
    count = router_count(observed, is_local=is_local)
    limits = router_limits(observed.deployment, routers=count)
    # without a comparator and without limits the digest is that of earlier releases
    more = [*([copies] if copies or limits else []), *([limits.to_wire()] if limits else [])]
    return digest_of([header, ports, *more])[:16] if header or ports or more else ""


def _router(name: str, report: RouterReport | None, *, wanted: int | None) -> Router:
    if report is None:
        return Router(name=name, generation=None)
    # a router that cannot read the generation of a split does not take the one that it was given
    refused = wanted if report.refused == 0 else report.refused
    return Router(name=name, generation=report.in_force or None, refused=refused, reason=report.reason)


def _front(observed: ObservedDeployment) -> Manifest:
    return observed.present.get(("Service", observed.deployment.metadata["name"])) or {}


def _selector(service: Manifest) -> dict[str, str]:
    selector: dict[str, str] = (service.get("spec") or {}).get("selector") or {}
    return selector
