"""What the Prometheus of a session scrapes."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_cli.local.prometheus.configuration import Target
from tuneloop_cli.local.query_needs import asks_prometheus
from tuneloop_cli.local.session_prometheus import targets_of

SERVER = {"tuneloop.dev/deployment": "reviews", "tuneloop.dev/revision": "7d1f0b2c"}
ROUTER = {"tuneloop.dev/deployment": "reviews", "tuneloop.dev/component": "router"}
FRONT = {"tuneloop.dev/local-url": "http://127.0.0.1:8000"}
SECOND = {"tuneloop.dev/local-metrics-url": "http://127.0.0.1:9000"}


def pod(labels: dict[str, str], annotations: dict[str, str], *, phase: str = "Running") -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "default", "labels": labels, "annotations": annotations}
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}


def test_a_server_is_scraped_at_its_port_with_its_revision():
    assert targets_of([pod(SERVER, FRONT)]) == [
        Target(address="127.0.0.1:8000", namespace="default", deployment="reviews", revision="7d1f0b2c")
    ]


def test_a_router_is_scraped_at_its_second_port():
    (target,) = targets_of([pod(ROUTER, FRONT | SECOND)])
    assert (target.address, target.revision, target.component) == ("127.0.0.1:9000", "", "router")


@pytest.mark.parametrize(
    "other",
    [
        pod(ROUTER, FRONT),  # its first port passes /metrics on to a server
        pod(SERVER, {}),
        pod(SERVER, FRONT, phase="Succeeded"),
        pod({"tuneloop.dev/job": "reviews"}, FRONT),
    ],
    ids=["a router without a second port", "not started", "ended", "of a job"],
)
def test_nothing_else_is_scraped(other):
    assert targets_of([other]) == []


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        (None, False),
        ({}, False),
        ({"gates": [{"name": "a", "metric": "Errors"}]}, False),
        ({"gates": [{"name": "a", "metric": "Errors"}, {"name": "b", "query": "up"}]}, True),
        ({"gates": [{"name": "a", "metric": "FeedbackAccuracy"}]}, True),
    ],
)
def test_a_query_and_late_labels_need_prometheus(rollout, expected):
    assert asks_prometheus({"spec": {"rollout": rollout}}) is expected


def test_a_baseline_needs_prometheus():
    assert asks_prometheus({"spec": {"monitoring": {}}})
    assert not asks_prometheus({"spec": {"monitoring": None}})
