"""The metrics of ModelDeployments. Pure: stored objects in, Prometheus' text out.

The labels `deployment` and `revision` are those of model servers, routers and comparators, so that their series can be joined with the roles that are
known here. A deployment has at most `MOST_SERIES` series, whatever its status holds, and those of its baseline.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, get_args

from tuneloop_api.v1alpha1.model_deployment.feedback import DEFAULT_LABEL_DELAY
from tuneloop_api.v1alpha1.model_deployment.gates import MOST_GATES
from tuneloop_api.v1alpha1.model_deployment.rollout_status import GateVerdict, RolloutPhase, Strategy
from tuneloop_api.v1alpha1.model_deployment.status import DeploymentPhase
from tuneloop_api.wire.durations import seconds
from tuneloop_operator.metrics.baselines import baseline_families
from tuneloop_operator.metrics.family import Family, by_phase
from tuneloop_operator.metrics.retraining import RetrainingFamilies
from tuneloop_operator.metrics.rollout_outcomes import EDGES, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.metrics.family import Objects
    from tuneloop_operator.metrics.rollout_outcomes import RolloutOutcomes

CONDITIONS = (
    "Accepted",
    "ModelAvailable",
    "Ready",
    "Reconciling",
    "Stalled",
    "NameConflict",
    "Refused",
    "MonitoringReady",
    "RetrainingBlocked",
    "QualityDegraded",
)
"""Types that are shown: those that the operator sets on deployments."""
_STATUSES = frozenset({"True", "False", "Unknown"})
_ROLES = ("stable", "canary", "previous")
_SHARED = ("stable", "canary")
_STATES = ("ready", "wanted")
_SINGLE, _OF_A_GATE = 6, 5
MOST_SERIES = (
    _SINGLE + len(_STATES) + len(CONDITIONS) + len(_ROLES) + len(_SHARED) + len(OUTCOMES) + _OF_A_GATE * MOST_GATES
)
"""Of one deployment."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Of revisions and gates. A status that somebody else wrote may hold any text."""


def text(objects: Objects, now: datetime) -> str:  # noqa: ARG001  (the shape of a controller's metrics)
    """Return the metrics of all ModelDeployments in Prometheus' text format."""
    deployments = list(objects.of_kind("ModelDeployment", namespace=None))
    families = _DeploymentFamilies(objects)
    for deployment in deployments:
        families.add(deployment)
    phases = by_phase(
        "tuneloop_model_deployments", "ModelDeployments by phase.", deployments, get_args(DeploymentPhase)
    )
    every = (phases, *families.all, *families.retraining.all, _durations(objects.rollout_outcomes))
    return "".join(family.text for family in (*every, *baseline_families(deployments)))


def _durations(outcomes: RolloutOutcomes) -> Family:
    family = Family(
        "tuneloop_rollout_duration_seconds",
        "histogram",
        "From the start of the canary's servers to the end of the roll-out; of Reverted from the promotion.",
    )
    for outcome, durations in outcomes.durations().items():
        named = f'outcome="{outcome}"'
        totals = [*accumulate(durations.counts)]
        for edge, total in zip((*EDGES, "+Inf"), totals, strict=True):
            family.add(f'{named},le="{edge}"', total, suffix="_bucket")
        family.add(named, durations.sum, suffix="_sum")
        family.add(named, totals[-1], suffix="_count")
    return family


class _DeploymentFamilies:
    """A family for each fact of a deployment."""

    def __init__(self, objects: Objects) -> None:
        self.all: list[Family] = []
        self.retraining = RetrainingFamilies()
        self._objects = objects
        self._info = self._gauge("model_deployment_info", "Always 1; the strategy of its roll-outs, empty for none.")
        self._label_delay = self._gauge(
            "model_deployment_label_delay_seconds",
            "When most labels of a prediction have come; absent without feedback.",
        )
        self._conditions = self._gauge(
            "model_deployment_status_condition", "Always 1; the labels say which condition has which status."
        )
        self._refusing = self._gauge(
            "model_deployment_refusing_routers", "Routers that did not take the last split that they got."
        )
        self._servers = self._gauge(
            "model_deployment_servers", "Servers of the stable revision: ready to answer, and wanted."
        )
        self._revisions = self._gauge("revision_info", "Always 1; the role of a revision now.")
        self._weights = self._gauge(
            "traffic_weight_ratio", "Share of the requests that a revision is to get, 0 to 1; of stable and canary."
        )
        self._phase = self._gauge("rollout_phase", "Always 1; where the roll-out is.")
        self._step = self._gauge("rollout_step", "Step that the canary has reached, from 1; 0 without a canary.")
        self._started = self._gauge(
            "rollout_start_timestamp_seconds", "When the servers of the canary began to start; absent without one."
        )
        self._ended = self._family("rollouts", "counter", "Roll-outs that ended, since this operator began.")
        self._value = self._gauge("gate_value", "What a gate last measured of a revision, in the gate's own unit.")
        self._harm = self._gauge("gate_harm", "How much worse the canary was at the gate's last look; below 0: better.")
        self._margin = self._gauge("gate_margin", "How much worse the canary may be.")
        self._verdict = self._gauge("gate_verdict", "Always 1; what a gate has found in this step.")

    def add(self, deployment: Manifest) -> None:
        """Add the series of one deployment."""
        metadata, status = deployment["metadata"], deployment.get("status") or {}
        rollout: dict[str, Any] = status.get("rollout") or {}
        named = f'namespace="{metadata["namespace"]}",deployment="{metadata["name"]}"'
        self._info.add(f'{named},strategy="{_word(rollout.get("strategy"), get_args(Strategy))}"', 1)
        if (delay := _label_delay(deployment["spec"])) is not None:
            self._label_delay.add(named, delay)
        for condition in status.get("conditions") or ():
            if condition["type"] in CONDITIONS and condition["status"] in _STATUSES:
                self._conditions.add(f'{named},condition="{condition["type"]}",status="{condition["status"]}"', 1)
        if reports := self._objects.router_reports(metadata["uid"]):
            self._refusing.add(named, sum(report.refused is not None for report in reports))
        roles = dict(_roles(status, rollout))
        for role, revision in roles.items():
            self._revisions.add(f'{named},revision="{revision}",role="{role}"', 1)
        stable: dict[str, Any] = status.get("stable") or {}
        for state, count in zip(_STATES, (stable.get("readyReplicas"), stable.get("replicas")), strict=True):
            self._servers.add(f'{named},state="{state}"', count)
        self._add_weights(named, roles, rollout)
        if rollout:
            self._add_rollout(named, rollout, uid=metadata["uid"])
        if loop := status.get("retraining"):
            self.retraining.add(named, loop)

    def _add_weights(self, named: str, roles: Mapping[str, str], rollout: dict[str, Any]) -> None:
        split = (rollout.get("split") or {}).get("weights") or ()
        weights = {share["revision"]: share["weight"] for share in split}
        for role in _SHARED:
            if (revision := roles.get(role)) is not None:
                weight = weights.get(revision, 0) if rollout else 100
                self._weights.add(f'{named},revision="{revision}",role="{role}"', weight / 100)

    def _add_rollout(self, named: str, rollout: dict[str, Any], *, uid: str) -> None:
        self._phase.add(f'{named},phase="{_word(rollout.get("phase"), get_args(RolloutPhase))}"', 1)
        canary = rollout.get("canary")
        self._step.add(named, rollout.get("step") if canary else 0)
        if canary and (started := rollout.get("startedAt")):
            self._started.add(named, datetime.fromisoformat(started).timestamp())
        for outcome, count in self._objects.rollout_outcomes.of(uid).items():
            self._ended.add(f'{named},outcome="{outcome}"', count)
        for gate in (rollout.get("gates") or ())[:MOST_GATES]:
            if _NAME.fullmatch(gate["name"]):
                verdict = _word(gate["verdict"], get_args(GateVerdict))
                self._verdict.add(f'{named},gate="{gate["name"]}",verdict="{verdict}"', 1)
        for memory in (rollout.get("gateMemory") or ())[:MOST_GATES]:
            if _NAME.fullmatch(memory["gate"]):
                self._add_look(f'{named},gate="{memory["gate"]}"', memory.get("results") or ())

    def _add_look(self, gate: str, results: Sequence[dict[str, Any]]) -> None:
        """Add the last look that had numbers."""
        look = next((result for result in reversed(results) if result.get("canary") is not None), None)
        if look is None:
            return
        self._margin.add(gate, look["margin"])
        self._harm.add(gate, look.get("harm"))
        for role in _SHARED:
            self._value.add(f'{gate},role="{role}"', look.get(role))

    def _gauge(self, name: str, about: str) -> Family:
        return self._family(name, "gauge", about)

    def _family(self, name: str, kind: str, about: str) -> Family:
        family = Family(f"tuneloop_{name}", kind, about)
        self.all.append(family)
        return family


def _roles(status: dict[str, Any], rollout: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each role with the revision that has it."""
    given = rollout or {"stable": (status.get("stable") or {}).get("revision")}
    for role in _ROLES:
        if (revision := given.get(role)) and _NAME.fullmatch(revision):
            yield role, revision


def _label_delay(spec: dict[str, Any]) -> int | None:
    """Return the seconds after which the labels of a prediction have come; None without feedback. A spec that is not accepted yet may hold any text."""
    feedback = spec.get("feedback")
    if not isinstance(feedback, dict) or feedback.get("enabled") is False:
        return None
    return seconds(str(feedback.get("labelDelay") or DEFAULT_LABEL_DELAY))


def _word(text: str | None, allowed: tuple[str, ...]) -> str:
    return text if text in allowed else ""
