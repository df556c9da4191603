"""The metrics of ModelDeployments, from what the store holds; and how many series a deployment can have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tuneloop_api.v1alpha1.model_deployment.gates import MOST_GATES
from tuneloop_operator.controller.controllers import metrics_of, new_store
from tuneloop_operator.metrics.model_deployment import CONDITIONS, MOST_SERIES
from tuneloop_operator.metrics.retraining import MOST_SERIES as MOST_OF_THE_LOOP
from tuneloop_operator.state.router_report import RouterReport

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMED = {"namespace": "team-a", "deployment": "reviews"}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def stamp(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def look(**numbers: Any) -> dict[str, Any]:
    return {"verdict": "Inconclusive", "look": 1, "margin": 0.01, "reason": "numbers"} | numbers


ROLLOUT: dict[str, Any] = {
    "strategy": "Canary",
    "phase": "Progressing",
    "stable": "03ab11f0",
    "canary": "7d1f0b2c",
    "previous": "99aa00bb",
    "step": 2,
    "split": {"generation": 4, "weights": [{"revision": "7d1f0b2c", "weight": 25}, {"revision": "03ab11f0", "weight": 75}]},
    "startedAt": stamp(minutes=30),
    "gates": [{"name": "errors", "verdict": "Inconclusive", "action": "Hold", "reason": "numbers"}],
    "gateMemory": [
        {
            "gate": "errors",
            "results": [
                look(canary=0.005, stable=0.0, harm=0.005),
                look(canary=0.004, stable=0.003, harm=0.001),
                look(verdict="NoData", reason="the comparator is away"),
            ],
        }
    ],
}  # fmt: skip
RETRAINING: dict[str, Any] = {
    "state": "Blocked",
    "blockedReason": "Cooldown",
    "budget": {"runs": 3, "gpuSeconds": 7200.0},
    "triggers": [
        {"name": "accuracy", "type": "accuracy", "action": "Retrain", "state": "Firing", "value": 0.81, "since": stamp(), "reason": "r"},
        {"name": "manual", "type": "manual", "action": "Retrain", "state": "Inactive", "since": stamp(), "reason": "r"},
    ],
    "totals": [{"trigger": "accuracy", "outcome": "Rejected", "count": 2}],
    "lastSuccessTime": stamp(days=3),
}  # fmt: skip
STABLE = {"revision": "03ab11f0", "replicas": 2, "readyReplicas": 1}
STATUS = {
    "phase": "Progressing",
    "stable": STABLE,
    "rollout": ROLLOUT,
    "retraining": RETRAINING,
    "conditions": [{"type": "Ready", "status": "False"}],
}


def deployment(status: dict[str, Any], *, version: int = 1, uid: str = "uid-reviews") -> dict[str, Any]:
    metadata = {"namespace": "team-a", "name": "reviews", "uid": uid, "resourceVersion": str(version)}
    spec = {"feedback": {"labelDelay": "12h"}}
    return {"apiVersion": "v", "kind": "ModelDeployment", "metadata": metadata, "spec": spec, "status": status}


def series(*versions: dict[str, Any], deployments_only: bool = True) -> Series:
    """Return the series of the deployment after it was stored in these versions, without the labels that all of them have."""
    store = new_store()
    for version in versions:
        store.put(version)
    store.put_router_report("uid-reviews", RouterReport(router="a", in_force=7, refused=8))
    return series_of(store, deployments_only=deployments_only)


def series_of(store, *, deployments_only: bool = True) -> Series:
    named = frozenset(NAMED.items())
    return {
        (sample.name, labels - named): sample.value
        for family in text_string_to_metric_families(metrics_of(store, now=NOW))
        for sample in family.samples
        for labels in [frozenset(sample.labels.items())]
        if named <= labels or not deployments_only
    }


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((f"tuneloop_{name}", frozenset(labels.items())))


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("model_deployment_info", {"strategy": "Canary"}, 1),
        ("model_deployment_status_condition", {"condition": "Ready", "status": "False"}, 1),
        ("model_deployment_refusing_routers", {}, 1),
        ("model_deployment_servers", {"state": "ready"}, 1),
        ("model_deployment_servers", {"state": "wanted"}, 2),
        ("revision_info", {"revision": "03ab11f0", "role": "stable"}, 1),
        ("revision_info", {"revision": "7d1f0b2c", "role": "canary"}, 1),
        ("revision_info", {"revision": "99aa00bb", "role": "previous"}, 1),
        ("traffic_weight_ratio", {"revision": "03ab11f0", "role": "stable"}, 0.75),
        ("traffic_weight_ratio", {"revision": "7d1f0b2c", "role": "canary"}, 0.25),
        ("rollout_phase", {"phase": "Progressing"}, 1),
        ("rollout_step", {}, 2),
        ("rollout_start_timestamp_seconds", {}, NOW.timestamp() - 1800),
        ("rollouts_total", {"outcome": "Promoted"}, 0),
        ("gate_verdict", {"gate": "errors", "verdict": "Inconclusive"}, 1),
        ("gate_value", {"gate": "errors", "role": "canary"}, 0.004),
        ("gate_value", {"gate": "errors", "role": "stable"}, 0.003),
        ("gate_harm", {"gate": "errors"}, 0.001),
        ("gate_margin", {"gate": "errors"}, 0.01),
        ("retrain_state", {"state": "Blocked"}, 1),
        ("retrain_blocked", {"reason": "Cooldown"}, 1),
        ("retrain_trigger_state", {"trigger": "accuracy", "state": "Firing"}, 1),
        ("retrain_trigger_state", {"trigger": "manual", "state": "Inactive"}, 1),
        ("retrain_trigger_value", {"trigger": "accuracy"}, 0.81),
        ("retrains_total", {"trigger": "accuracy", "outcome": "Rejected"}, 2),
        ("retrain_budget_remaining_runs", {}, 3),
        ("retrain_budget_remaining_gpu_seconds", {}, 7200),
        ("retrain_last_success_timestamp_seconds", {}, NOW.timestamp() - 3 * 86400),
    ],
)
def test_a_deployment_with_a_canary_has_this_metric(name, labels, expected):
    assert value(series(deployment(STATUS)), name, **labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"feedback": {"labelDelay": "12h"}}, {43_200.0}),
        ({"feedback": {}}, {86_400.0}),
        ({"feedback": {"enabled": False}}, set()),
        ({}, set()),
        ({"feedback": 7}, set()),
    ],
)
def test_prometheus_knows_when_labels_have_come(spec, expected):
    found = series(deployment(STATUS) | {"spec": spec})
    assert {number for (name, _), number in found.items() if name.endswith("label_delay_seconds")} == expected


def test_a_canary_that_gets_nothing_yet_has_a_weight_of_0():
    split = {"generation": 1, "weights": [{"revision": "03ab11f0", "weight": 100}]}
    found = series(deployment({"rollout": ROLLOUT | {"split": split}}))
    assert value(found, "traffic_weight_ratio", revision="7d1f0b2c", role="canary") == 0


def test_a_deployment_without_a_rollout_gives_everything_to_what_serves():
    found = series(deployment({"phase": "Ready", "stable": {"revision": "03ab11f0"}}))
    assert value(found, "traffic_weight_ratio", revision="03ab11f0", role="stable") == 1
    assert value(found, "model_deployment_info", strategy="") == 1
    assert {name for name, _ in found if "rollout" in name or "gate" in name} == set()


def test_nothing_is_on_its_way_without_a_canary():
    found = series(deployment({"rollout": ROLLOUT | {"canary": None, "phase": "Done", "gates": None}}))
    assert (value(found, "rollout_step"), value(found, "rollout_start_timestamp_seconds")) == (0, None)
    assert value(found, "rollout_phase", phase="Done") == 1


def rolled(**changes: Any) -> dict[str, Any]:
    return ROLLOUT | {"canary": None, "startedAt": None, "gates": None, "gateMemory": None} | changes


def rejection(revision: str, reason: str) -> list[dict[str, Any]]:
    return [
        {"revision": revision, "reason": reason, "message": "a sentence", "time": stamp(minutes=10), "specDigest": "d"}
    ]


OTHER = ROLLOUT | {"canary": "aa00aa00", "phase": "Starting", "startedAt": stamp(minutes=1)}
REVERTING = rolled(phase="Reverting", stable="7d1f0b2c", canary="03ab11f0", promotedAt=stamp(hours=2))


@pytest.mark.parametrize(
    ("before", "after", "outcome", "seconds"),
    [
        pytest.param(
            ROLLOUT, rolled(phase="Baking", stable="7d1f0b2c", promotedAt=stamp(minutes=5)), "Promoted", 1500, id="promoted"
        ),
        pytest.param(
            ROLLOUT, rolled(phase="RolledBack", rejected=rejection("7d1f0b2c", "GateFailed")), "RolledBack", 1200, id="rolled back"
        ),
        pytest.param(ROLLOUT, rolled(phase="Aborted", rejected=rejection("7d1f0b2c", "Aborted")), "Aborted", 1200, id="aborted"),
        pytest.param(ROLLOUT, rolled(phase="Done"), "Superseded", None, id="the spec is as it was"),
        pytest.param(ROLLOUT, OTHER, "Superseded", None, id="another canary at once"),
        pytest.param(
            ROLLOUT, OTHER | {"rejected": rejection("7d1f0b2c", "Broken")}, "RolledBack", 1200, id="rolled back, and another at once"
        ),
        pytest.param(
            ROLLOUT, OTHER | {"stable": "7d1f0b2c", "promotedAt": stamp(minutes=5)}, "Promoted", 1500, id="promoted, and another at once"
        ),
        pytest.param(
            REVERTING, rolled(phase="RolledBack", rejected=rejection("7d1f0b2c", "Broken")), "Reverted", 6600, id="back after the promotion"
        ),
    ],
)  # fmt: skip
def test_the_end_of_a_rollout_is_counted_with_its_time(before, after, outcome, seconds):
    found = series(deployment({"rollout": before}), deployment({"rollout": after}, version=2), deployments_only=False)
    assert value(found, "rollouts_total", outcome=outcome) == 1
    assert sum(count for (name, _), count in found.items() if name == "tuneloop_rollouts_total") == 1
    assert value(found, "rollout_duration_seconds_sum", outcome=outcome) == seconds
    counts = [count for (name, _), count in found.items() if name == "tuneloop_rollout_duration_seconds_count"]
    assert sum(counts) == (seconds is not None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(ROLLOUT, ROLLOUT | {"step": 3}, id="a step"),
        pytest.param(ROLLOUT, ROLLOUT | {"phase": "RollingBack"}, id="on its way back"),
        pytest.param(rolled(phase="Done"), ROLLOUT, id="a start"),
        pytest.param(rolled(phase="Baking", stable="7d1f0b2c"), REVERTING, id="a way back that begins"),
        pytest.param(REVERTING, rolled(phase="Done", stable="7d1f0b2c"), id="a way back that could not be gone"),
        pytest.param(rolled(phase="Baking"), rolled(phase="Done"), id="the end of baking"),
    ],
)
def test_what_ends_no_rollout_is_not_counted(before, after):
    found = series(deployment({"rollout": before}), deployment({"rollout": after}, version=2))
    assert sum(count for (name, _), count in found.items() if name == "tuneloop_rollouts_total") == 0


def test_an_object_of_the_same_name_begins_at_0():
    store = new_store()
    store.put(deployment({"rollout": ROLLOUT}))
    store.put(deployment({"rollout": rolled(phase="Done")}, version=2))
    store.remove(deployment({"rollout": rolled(phase="Done")}, version=3))
    assert set(store.rollout_outcomes.of("uid-reviews").values()) == {0}
    store.put(deployment({"rollout": rolled(phase="Done")}, version=4, uid="another"))
    assert value(series_of(store), "rollouts_total", outcome="Superseded") == 0


def test_a_duration_is_in_the_bucket_of_its_edge():
    after = rolled(phase="Baking", stable="7d1f0b2c", promotedAt=stamp(minutes=15))  # 900 s
    found = series(deployment({"rollout": ROLLOUT}), deployment({"rollout": after}, version=2), deployments_only=False)
    at = {
        edge: value(found, "rollout_duration_seconds_bucket", outcome="Promoted", le=edge)
        for edge in ("300", "900", "+Inf")
    }
    assert at == {"300": 0, "900": 1, "+Inf": 1}


def largest() -> dict[str, Any]:
    """Return a status as full as the schema lets it be, and fuller."""
    names = [f"gate-{number}" for number in range(2 * MOST_GATES)]
    conditions = [{"type": type_, "status": "True"} for type_ in (*CONDITIONS, "Foreign", "Other")]
    revisions = [{"revision": f"{number:08x}", "replicas": 1} for number in range(64)]
    gates = [{"name": name, "verdict": "Pass", "action": "Advance", "reason": ""} for name in names]
    memory = [{"gate": name, "results": 8 * [look(canary=1.0, stable=1.0, harm=0.0)]} for name in names]
    rollout = ROLLOUT | {"gates": gates, "gateMemory": memory}
    return {
        "phase": "Progressing",
        "conditions": conditions,
        "revisions": revisions,
        "rollout": rollout,
        "stable": STABLE,
    }


def test_a_deployment_has_no_more_series_than_the_limit_whatever_its_status_holds():
    assert len(series(deployment(largest()))) == MOST_SERIES
    assert len(series(deployment(largest() | {"retraining": largest_loop()}))) == MOST_SERIES + MOST_OF_THE_LOOP
    assert MOST_SERIES <= 120


def largest_loop() -> dict[str, Any]:
    """Return a loop as full as the schema lets it be, and fuller."""
    names = [f"trigger-{number}" for number in range(100)]
    triggers = [RETRAINING["triggers"][0] | {"name": name} for name in names]
    totals = [{"trigger": name, "outcome": "Promoted", "count": 1} for name in names]
    return RETRAINING | {"triggers": triggers, "totals": totals}


@pytest.mark.parametrize("text", ['a"b', "a\nb", "{}", "Ä", "-a", 80 * "a"])
def test_a_text_that_is_no_name_becomes_no_label(text):
    rollout = ROLLOUT | {"canary": text, "phase": text, "strategy": text}
    rollout |= {"gates": [ROLLOUT["gates"][0] | {"name": text, "verdict": text}]}
    rollout |= {"gateMemory": [ROLLOUT["gateMemory"][0] | {"gate": text}]}
    loop = RETRAINING | {"state": text, "blockedReason": text}
    loop |= {"triggers": [RETRAINING["triggers"][0] | {"name": text, "state": text}]}
    loop |= {"totals": [{"trigger": text, "outcome": text, "count": 1}]}
    found = series(deployment({"rollout": rollout, "retraining": loop, "conditions": [{"type": text, "status": text}]}))
    assert text not in {label for _, labels in found for _, label in labels}
