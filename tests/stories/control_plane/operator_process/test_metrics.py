"""The operator's metrics, as a process on a real API server shows them, and its memory."""

from __future__ import annotations

import pytest
from operator_counts import samples
from prometheus_client.parser import text_string_to_metric_families
from waiting import until


def test_the_metrics_of_a_job_go_with_it(operator, place):
    place.submit("passing")
    named = frozenset({("namespace", place.namespace), ("name", "passing")})

    def series():
        return [name for name, labels in samples(operator) if named <= labels]

    progress = {"status": {"progress": {"percent": "1%"}}}
    place.patch("FineTuneJob", "passing", progress, subresource="/status")
    until(series, seconds=10, what="series of the job")
    place.delete("FineTuneJob", "passing")
    until(lambda: not series(), seconds=10, what="no series of a deleted job")


@pytest.mark.parametrize(
    "name",
    [
        "tuneloop_build_info",
        "tuneloop_leader",
        "tuneloop_work_queue_depth",
        "tuneloop_work_queue_wait_seconds",
        "tuneloop_reconcile_seconds",
        "tuneloop_reconcile_errors",
        "tuneloop_api_calls",
        "tuneloop_api_call_seconds",
        "tuneloop_jobs",
        "tuneloop_model_deployments",
        "tuneloop_model_deployment_refusing_routers",
        "tuneloop_traffic_weight_ratio",
        "tuneloop_rollouts",
        "tuneloop_router_polls",
        "tuneloop_prometheus_queries",
        "tuneloop_job_progress_ratio",
        "process_resident_memory_bytes",
    ],
)
def test_the_metrics_have(operator, name):
    assert name in {family.name for family in text_string_to_metric_families(operator.metrics())}


def test_an_idle_operator_fits_into_its_memory(operator, record_property):
    record_property("idle_resident_bytes", operator.resident_bytes)
    print(f"idle: {operator.resident_bytes / 2**20:.0f} MiB")
    assert operator.resident_bytes < 120 * 2**20
