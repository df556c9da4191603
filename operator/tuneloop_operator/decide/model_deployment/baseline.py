"""When the baseline window of the stable revision is captured, and until when it is waited for. Pure.

The window begins once the revision has settled: its baking is over, or, where nothing bakes, it answers. It lasts `baselineWindow` at least, and goes on until every
feature has enough texts. What was captured is kept as long as the revision is stable.
The reasons are in docs/decisions/0063-drift-is-measured-from-a-window-after-baking.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.monitoring import DEFAULT_BASELINE_WINDOW
from tuneloop_api.v1alpha1.model_deployment.monitoring_status import Baseline, MonitoringStatus
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.model_deployment.baseline_counts import Unfit, features_in
from tuneloop_operator.prometheus.answer import Unanswered
from tuneloop_operator.prometheus.query import equals, increase_by
from tuneloop_operator.state.conditions import moment, stamp, with_condition, without_condition

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_api.v1alpha1.model_deployment.monitoring import MonitoringOptions
    from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
    from tuneloop_operator.prometheus.query import PromQL
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.gate_inputs import BaselineAnswer
    from tuneloop_operator.state.observed import ObservedDeployment

MONITORING_READY = "MonitoringReady"
MOST_SECONDS = 14 * 86_400
"""Of a window. Prometheus keeps 15 days by default."""
_COUNTER = "tuneloop_feature_bin_total"
_SETTLED_PHASES = frozenset({"Done", "Aborted", "RolledBack"})
"""Of a roll-out: without a canary, and nothing bakes."""
_SERVING_PHASES = frozenset({"Ready", "Degraded"})
"""Of a deployment: no other revision is on its way."""


@dataclass(frozen=True, kw_only=True)
class WantedBaseline:
    """A window whose counts are to be asked for."""

    revision: str
    since: str
    seconds: int
    """Up to now."""
    query: PromQL


@dataclass(frozen=True, kw_only=True)
class _Reason:
    """What the condition MonitoringReady says."""

    reason: str
    message: str
    is_ready: bool = False


_NO_PROMETHEUS = _Reason(
    reason="NoPrometheus",
    message="drift is not measured: the operator needs a Prometheus to ask (TUNELOOP_PROMETHEUS_URL; prometheus.url of the chart)",
)


def window_seconds(options: MonitoringOptions) -> int:
    """Return how long the window lasts at least."""
    return seconds(options.baseline_window or DEFAULT_BASELINE_WINDOW)


def wanted_baseline(deployment: ModelDeployment, *, now: datetime) -> WantedBaseline | None:
    """Return what is to be asked about now; None: the window is not over, or there is a baseline."""
    options, status = deployment.spec.monitoring, deployment.status
    found = status.monitoring if status is not None else None
    if options is None or status is None or found is None or found.baseline is not None or found.since is None:
        return None
    age = int((now - moment(found.since)).total_seconds())
    if age < window_seconds(options) or _unsettled(status) is not None:
        return None
    length = min(age, MOST_SECONDS)
    names = {"namespace": deployment.metadata["namespace"], "deployment": deployment.metadata["name"]}
    matchers = [equals(label, value) for label, value in (names | {"revision": found.revision}).items()]
    query = increase_by(("feature", "bin"), _COUNTER, *matchers, seconds=length)
    return WantedBaseline(revision=found.revision, since=found.since, seconds=length, query=query)


def with_monitoring(
    status: ModelDeploymentStatus, observed: ObservedDeployment, *, now: datetime, settings: OperatorSettings
) -> ModelDeploymentStatus:
    """Return the status with the baseline of its stable revision, or why there is none. status: with all that is shown beside."""
    options = observed.deployment.spec.monitoring
    if options is None:
        conditions = without_condition(status.conditions, MONITORING_READY)
        return changed(status, monitoring=None, conditions=conditions if status.conditions else None)
    memory = _memory(status, now=now, is_asked=settings.has_prometheus)
    if settings.has_prometheus:
        memory, why = _judged(memory, status, options, observed.baseline_answer)
    else:
        why = _NO_PROMETHEUS
    conditions = with_condition(
        status.conditions, MONITORING_READY, true=why.is_ready, reason=why.reason, message=why.message, now=now
    )
    return changed(status, monitoring=memory, conditions=conditions)


def _memory(status: ModelDeploymentStatus, *, now: datetime, is_asked: bool) -> MonitoringStatus | None:
    """Return what is remembered of the stable revision, with the begin of its window; what was remembered of another one is dropped.

    is_asked: there is a Prometheus that can be asked.
    """
    stable, memory = _stable(status), status.monitoring
    if not stable:
        return None
    if memory is None or memory.revision != stable:
        memory = MonitoringStatus(revision=stable)
    if memory.since is None and is_asked and _unsettled(status) is None:
        return changed(memory, since=stamp(now))
    return memory


def _judged(
    memory: MonitoringStatus | None,
    status: ModelDeploymentStatus,
    options: MonitoringOptions,
    answered: BaselineAnswer | None,
) -> tuple[MonitoringStatus | None, _Reason]:
    """Return the memory, with a baseline as soon as there is one, and the reason of the condition."""
    if memory is None:
        return None, _Reason(reason="NoRevision", message="no revision answers requests yet")
    if memory.baseline is not None:
        return memory, _captured(memory.baseline)
    if (unsettled := _unsettled(status)) is not None:
        return memory, unsettled
    if answered is None or (answered.revision, answered.since) != (memory.revision, memory.since):
        return memory, _collecting(memory, options)
    found = _read(answered)
    return (memory, found) if isinstance(found, _Reason) else (changed(memory, baseline=found), _captured(found))


def _read(answered: BaselineAnswer) -> Baseline | _Reason:
    """Return the baseline in an answer, or why a later answer is waited for."""
    answer = answered.answer
    if isinstance(answer, Unanswered):
        if answer.verdict == "Error":
            return _Reason(reason="PrometheusError", message=answer.reason)
        message = f"no features of revision {answered.revision} are counted: its artifact has no monitoring.json, or its servers are not scraped"
        return _Reason(reason="NoData", message=message)
    features = features_in(answer)
    if isinstance(features, Unfit):
        return _Reason(reason=features.reason, message=features.message)
    ended = datetime.fromtimestamp(answer.at, UTC)
    return Baseline(
        revision=answered.revision,
        began=stamp(ended - timedelta(seconds=answered.seconds)),
        ended=stamp(ended),
        features=list(features),
    )


def _captured(baseline: Baseline) -> _Reason:
    texts = min(sum(feature.counts) for feature in baseline.features)
    message = (
        f"{len(baseline.features)} features of revision {baseline.revision}, of {texts} texts at least, "
        f"from {baseline.began} to {baseline.ended}"
    )
    return _Reason(reason="BaselineCaptured", message=message, is_ready=True)


def _collecting(memory: MonitoringStatus, options: MonitoringOptions) -> _Reason:
    until = stamp(moment(memory.since or "") + timedelta(seconds=window_seconds(options)))
    message = f"requests of revision {memory.revision} are counted until {until} at least"
    return _Reason(reason="BaselineWindow", message=message)


def _unsettled(status: ModelDeploymentStatus) -> _Reason | None:
    """Return why the stable revision may be another one soon; None if it stays."""
    rollout = status.rollout
    if rollout is not None and rollout.phase == "Baking":
        return _Reason(reason="Baking", message=f"revision {rollout.stable} bakes; the window begins after that")
    is_settled = status.phase in _SERVING_PHASES if rollout is None else rollout.phase in _SETTLED_PHASES
    return None if is_settled else _Reason(reason="RolloutInProgress", message="another revision is on its way")


def _stable(status: ModelDeploymentStatus) -> str:
    return status.stable.revision if status.stable is not None else ""
