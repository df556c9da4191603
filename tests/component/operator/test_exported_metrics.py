"""What the operator shows of itself, of jobs and of deployments: the metrics of the page and no others, as Prometheus wants them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from metrics_page import assert_documented, lint

from tuneloop_operator.cluster.transport import Call
from tuneloop_operator.controller.controllers import metrics_of, new_store
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.metrics.process import Metrics
from tuneloop_operator.state.router_report import RouterReport

STAMP = "2026-01-01T12:00:00Z"
PROGRESS = {"percent": "45%", "step": 40, "loss": 0.5, "tokensPerSecond": 1000.0, "lastHeartbeat": STAMP}
JOB = {
    "phase": "Running",
    "progress": PROGRESS,
    "restarts": {"failure": 1},
    "checkpoint": {"latest": {"step": 30, "time": STAMP}, "saveSecondsP95": 2.5},
    "startTime": STAMP,
    "firstStepTime": STAMP,
    "usage": {"gpuSeconds": 1.0, "lostSteps": 1, "goodput": 0.9},
}
LOOK = {"verdict": "Pass", "look": 1, "margin": 0.01, "canary": 0.1, "stable": 0.1, "harm": 0.0, "reason": "numbers"}
ROLLOUT = {
    "strategy": "Canary",
    "phase": "Progressing",
    "stable": "03ab",
    "canary": "7d1f",
    "step": 1,
    "split": {"generation": 1, "weights": [{"revision": "03ab", "weight": 100}]},
    "startedAt": STAMP,
    "gates": [{"name": "errors", "verdict": "Pass", "action": "Advance", "reason": "numbers"}],
    "gateMemory": [{"gate": "errors", "results": [LOOK]}],
}
BASELINE = {"revision": "03ab", "from": STAMP, "to": STAMP, "features": [{"name": "tokens", "counts": [200, 300]}]}
SERVED = {
    "rollout": ROLLOUT,
    "conditions": [{"type": "Ready", "status": "False"}],
    "stable": {"revision": "03ab", "replicas": 1, "readyReplicas": 1},
    "monitoring": {"revision": "03ab", "baseline": BASELINE},
}
OBJECTS = {
    "reviews": ("FineTuneJob", JOB),
    "over": ("FineTuneJob", {"phase": "Failed", "failure": {"class": "Data"}}),
    "served": ("ModelDeployment", SERVED),
}


@pytest.fixture(scope="module")
def text() -> str:
    store, metrics = new_store(), Metrics()
    for name, (kind, status) in OBJECTS.items():
        metadata = {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
        store.put({"apiVersion": "v", "kind": kind, "metadata": metadata, "spec": {"feedback": {}}, "status": status})
    store.put_router_report("uid-served", RouterReport(router="a", in_force=1, refused=None))
    metrics.watch_objects(lambda: metrics_of(store, now=datetime.now(UTC)))
    metrics.taken(waited=0.1)
    metrics.called(Call("get", "jobs", 200, 0.1))
    metrics.reconciled("FineTuneJob", seconds=0.1, error=ClusterUnavailable("away"))
    return metrics.text().decode()


def test_they_are_those_of_the_page(text):
    assert_documented(text, "Operator: deployments", "Operator: baselines", "Operator: jobs", "Operator: itself")


def test_promtool_finds_nothing_to_complain_of(text):
    assert lint(text) == []
