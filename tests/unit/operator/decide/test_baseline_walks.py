"""Baselines over random histories of a deployment: whose they are, when they come, and that they stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from desired_pods import a_deployment
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
from tuneloop_api.wire.model import changed
from tuneloop_operator.decide.model_deployment.baseline import wanted_baseline, with_monitoring
from tuneloop_operator.prometheus.answer import Series, Unanswered, Vector
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.conditions import condition, moment
from tuneloop_operator.state.gate_inputs import BaselineAnswer
from tuneloop_operator.state.observed import ObservedDeployment

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEPLOYMENT = a_deployment(monitoring={"baselineWindow": "2h"})
SETTINGS = OperatorSettings(has_prometheus=True)
PHASES = ("Progressing", "Paused", "Baking", "Aborted", "RolledBack", "Reverting")
MOMENTS = st.tuples(
    st.sampled_from(["03ab", "03ab", "03ab", "7d1f", None]),
    st.sampled_from(["Done"] * len(PHASES) + [*PHASES]),
    st.sampled_from([0, 60, 3600, 7200, 20_000]),
    st.sampled_from([900.0, 900.0, 150.0, 0.0, None]),
)
"""Stable revision, phase of the roll-out, seconds since the moment before, and texts of the answer; None: Prometheus is away."""


def shown(status: ModelDeploymentStatus, stable: str | None, phase: str) -> ModelDeploymentStatus:
    """Return the status as it is without its baseline."""
    rollout = {
        "strategy": "Canary",
        "phase": phase,
        "stable": stable or "none",
        "split": {"generation": 1, "weights": []},
    }
    fields: dict[str, Any] = {"rollout": rollout, "phase": "Ready"}
    if stable is not None:
        fields["stable"] = {"revision": stable, "digest": "", "uri": ""}
    memory = status.to_wire() | {"stable": None} | fields
    return ModelDeploymentStatus.from_wire({key: value for key, value in memory.items() if value is not None})


def asked(status: ModelDeploymentStatus, texts: float | None, *, now: datetime) -> BaselineAnswer | None:
    """Return what Prometheus answers if it is asked now."""
    wanted = wanted_baseline(changed(DEPLOYMENT, status=status), now=now)
    if wanted is None:
        return None
    bins = tuple(Series(labels={"feature": "f", "bin": str(bin_)}, value=texts or 0.0) for bin_ in range(2))
    answer = Unanswered(verdict="Error", reason="away") if texts is None else Vector(series=bins, at=now.timestamp())
    return BaselineAnswer(revision=wanted.revision, since=wanted.since, seconds=wanted.seconds, answer=answer)


@given(st.lists(MOMENTS, min_size=4, max_size=20))
def test_a_baseline_is_of_the_stable_revision_comes_after_its_window_and_stays(moments):
    now, status, answer = BEGAN, ModelDeploymentStatus(), None
    for stable, phase, later, texts in moments:
        now += timedelta(seconds=later)
        before = status.monitoring
        observed = ObservedDeployment(deployment=DEPLOYMENT, manifest={}, present={}, baseline_answer=answer)
        status = with_monitoring(shown(status, stable, phase), observed, now=now, settings=SETTINGS)
        found, ready = status.monitoring, condition(status.conditions, "MonitoringReady")
        assert ready is not None
        assert (found.revision if found else None) == stable
        baseline = found.baseline if found else None
        assert (ready.status == "True") is (baseline is not None)
        if baseline is not None:
            assert baseline.revision == stable
            assert moment(baseline.ended) - moment(baseline.began) >= timedelta(hours=2)
            assert all(sum(feature.counts) >= 200 for feature in baseline.features)
        if before is not None and before.since is not None and before.revision == stable:
            assert found is not None
            assert found.since == before.since, "a window goes on"
        if before is not None and before.baseline is not None and before.revision == stable:
            assert found == before, "what was captured stays"
        answer = asked(status, texts, now=now) or answer
