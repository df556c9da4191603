"""What the status of a ModelDeployment with `spec.rollout` shows: the revisions, the roll-out as a story, and the conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.status import (
    DeploymentPhase,
    ModelDeploymentStatus,
    ServedRevision,
    StableRevision,
)
from tuneloop_api.wire.model import changed
from tuneloop_api.wire.serving_failure import OF_ARTIFACT
from tuneloop_operator.state.conditions import condition, with_condition
from tuneloop_operator.status.blockers import with_blocker
from tuneloop_operator.status.model_deployment.deployment import (
    ASLEEP,
    common_fields,
    ready_reason,
    url_of,
    with_model,
)
from tuneloop_operator.status.model_deployment.scaling import enough_servers, with_scaling
from tuneloop_operator.status.pod_defaults import with_pod_defaults
from tuneloop_operator.status.tool_conditions import READY, with_neither, with_reconciling, with_stalled

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_api.v1alpha1.common import Conditions
    from tuneloop_api.v1alpha1.failure import ServingFailure
    from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment
    from tuneloop_operator.status.model_deployment.deployment import Serving

_WAITS_FOR_A_PERSON = frozenset({"Paused", "Held"})


@dataclass(frozen=True, kw_only=True)
class ShownRouters:
    """The routers of a deployment as the status shows them."""

    carry: bool
    """Whether the Service leads to them."""
    ready: int
    count: int
    """How many there are to be."""
    trouble: str = ""
    """Why they do not come up."""

    @property
    def problem(self) -> str:
        """What is wrong with the routers, as a sentence; empty if nothing is."""
        if self.carry and self.ready < self.count:
            return f"{self.ready} of {self.count} routers are ready{f': {self.trouble}' if self.trouble else ''}"
        return f"no router carries requests yet: {self.trouble}" if self.trouble and not self.carry else ""


@dataclass(frozen=True, kw_only=True)
class ShownRollout:
    """A roll-out as the status shows it."""

    memory: RolloutStatus
    story: str
    """Where it is, as one sentence."""
    revisions: tuple[ServedRevision, ...]
    """Those that have a Deployment, and those that get one."""
    is_rejected: bool
    """Whether the revision that the spec asks for is not offered again."""
    failure: ServingFailure | None = None
    """Why servers of the canary do not come up, or of stable if there is none."""
    stable_failure: ServingFailure | None = None
    """That of stable, while there is a canary."""
    routers: ShownRouters | None = None

    @property
    def has_its_routers(self) -> bool:
        """Whether requests need no router that is not ready."""
        return self.routers is None or not self.routers.carry or self.routers.ready >= self.routers.count

    def revision(self, name: str | None) -> ServedRevision | None:
        """Return one of the revisions."""
        return next((found for found in self.revisions if found.revision == name), None)


def shown(
    observed: ObservedDeployment, offered: Serving, found: ShownRollout, *, now: datetime, settings: OperatorSettings
) -> ModelDeploymentStatus:
    """Return the status. offered: the servers of the revision that the spec asks for."""
    status = observed.deployment.status or ModelDeploymentStatus()
    stable = found.revision(found.memory.stable)
    phase = _phase(observed, found, stable)
    conditions = with_condition(status.conditions, "Accepted", true=True, reason="Accepted", now=now)
    conditions = _with_artifact(conditions, offered, found, now=now)
    conditions = _with_readiness(conditions, observed, offered, found, phase=phase, now=now)
    status = changed(
        status,
        **common_fields(observed),
        phase=phase,
        conditions=conditions,
        url=url_of(observed),
        resolved=with_pod_defaults(status.resolved, settings),
    )
    return with_rollout(status, found)


def with_rollout(status: ModelDeploymentStatus, found: ShownRollout) -> ModelDeploymentStatus:
    """Return the status with the revisions and the memory of the roll-out."""
    stable = found.revision(found.memory.stable)
    ready, wanted = (stable.ready_replicas or 0, stable.replicas or 0) if stable else (0, 0)
    return changed(
        status,
        stable=_stable(stable, found.stable_failure) if stable and found.memory.has_served else None,
        canary=found.revision(found.memory.canary),
        revisions=list(found.revisions),
        rollout=found.memory,
        failure=found.failure,
        ready=f"{ready}/{wanted}",
    )


def _with_artifact(conditions: Conditions, offered: Serving, found: ShownRollout, *, now: datetime) -> Conditions:
    """Return the conditions with that of the artifact. What a rejected revision's servers found of it stays, although they are gone."""
    is_read = offered.answers or (found.memory.stable == offered.revision and bool(found.memory.has_served))
    rejected = next((known for known in found.memory.rejected or () if known.revision == offered.revision), None)
    if rejected is not None and rejected.failure in OF_ARTIFACT:
        offered = replace(offered, artifact_problem=rejected.failure, trouble=rejected.message)
    elif rejected is not None:
        before = condition(conditions, "ModelAvailable")
        is_read = is_read or (before is not None and (before.status, before.message) == ("True", offered.uri))
    return with_model(conditions, offered, is_read=is_read, now=now)


def _stable(revision: ServedRevision, failure: ServingFailure | None) -> StableRevision:
    return StableRevision(**dict(revision), failure=failure)


def _with_readiness(
    conditions: Conditions,
    observed: ObservedDeployment,
    offered: Serving,
    found: ShownRollout,
    *,
    phase: DeploymentPhase,
    now: datetime,
) -> Conditions:
    blocker = observed.blocker
    stable = found.revision(found.memory.stable)
    is_asleep = _is_asleep(stable)
    reason = ready_reason(0 if is_asleep else 1) if phase == "Ready" else _reason(offered, found, phase)
    problem, sleep = found.routers.problem if found.routers else "", ASLEEP if is_asleep else ""
    message = blocker.message if blocker else "; ".join(filter(None, (problem, sleep, found.story, offered.trouble)))
    conditions = with_condition(conditions, READY, true=phase == "Ready", reason=reason, message=message, now=now)
    conditions = with_blocker(conditions, blocker, is_gone=True, now=now)
    conditions = with_scaling(conditions, observed, now=now)
    if phase == "Ready":
        return with_neither(conditions)
    if blocker is not None:
        return with_stalled(conditions, reason=blocker.reason, message=message, now=now)
    needs_a_person = found.memory.phase in _WAITS_FOR_A_PERSON or (found.is_rejected and not found.memory.canary)
    with_outlook = with_stalled if needs_a_person else with_reconciling
    return with_outlook(conditions, reason=reason, message=message, now=now)


def _reason(offered: Serving, found: ShownRollout, phase: DeploymentPhase) -> str:
    """Return the reason of Ready=False: why servers do not come up, else where the roll-out is, else the phase."""
    if not found.has_its_routers:
        return "RoutersNotReady"
    if found.is_rejected and not found.memory.canary:
        return found.memory.phase
    return offered.reason or (found.memory.phase if found.memory.canary else phase)


def _phase(observed: ObservedDeployment, found: ShownRollout, stable: ServedRevision | None) -> DeploymentPhase:
    if not found.memory.has_served and not _is_asleep(stable):
        return "Loading"
    # nothing is on its way where no servers are asked for: a tool would wait until it gives up
    is_on_its_way = found.memory.canary and (not _is_asleep(stable) or found.memory.phase in _WAITS_FOR_A_PERSON)
    if is_on_its_way:
        return "Progressing"
    enough = enough_servers(observed, (stable.replicas if stable else None) or 0)
    is_whole = stable is not None and (stable.ready_replicas or 0) >= enough and found.has_its_routers
    is_refused = found.is_rejected and not found.memory.canary
    return "Ready" if is_whole and not is_refused and observed.blocker is None else "Degraded"


def _is_asleep(stable: ServedRevision | None) -> bool:
    """Whether no servers are asked for: there are none of stable in no other case."""
    return stable is not None and stable.replicas == 0
