"""The metrics, from what the store holds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from operator_harness import OperatorHarness
from prometheus_client.parser import text_string_to_metric_families

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_operator.cluster.transport import Call
from tuneloop_operator.controller.controllers import metrics_of, new_store
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.metrics.process import Metrics
from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMED = {"namespace": "team-a", "name": "reviews"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def stamp(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(kind: str, name: str, status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    named = {"namespace": "team-a", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"} | metadata
    return {"apiVersion": "v", "kind": kind, "metadata": named, "spec": {}, "status": status}


def parsed(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def samples(*manifests: dict[str, Any], message: ProgressMessage | None = None) -> Samples:
    """Return the metrics of these objects; the message is of the job `reviews`."""
    store, metrics = new_store(), Metrics()
    for stored in manifests:
        store.put(stored)
    if message is not None:
        store.put_progress("uid-reviews", message)
    metrics.watch_objects(lambda: metrics_of(store, now=NOW))
    return parsed(metrics.text())


def of_job(status: dict[str, Any], *others: dict[str, Any], message: ProgressMessage | None = None) -> Samples:
    """Return the metrics of the job alone, by name and further labels."""
    found = samples(manifest("FineTuneJob", "reviews", status), *others, message=message)
    named = frozenset(NAMED.items())
    return {(name, labels - named): value for (name, labels), value in found.items() if named <= labels}


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


PROGRESS = {
    "percent": "45%",
    "step": 40,
    "loss": 0.5,
    "tokensPerSecond": 1000.0,
    "lastHeartbeat": stamp(seconds=20),
}
RUNNING: dict[str, Any] = {
    "phase": "Running",
    "attempt": 2,
    "progress": PROGRESS,
    "restarts": {"failure": 3, "disruption": 1},
    "checkpoint": {"latest": {"step": 30, "time": stamp(minutes=5)}, "saveSecondsP95": 2.5},
    "startTime": stamp(minutes=30),
    "firstStepTime": stamp(minutes=28),
    "usage": {"gpuSeconds": 1000.0, "lostSteps": 12, "goodput": 0.93},
}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("tuneloop_job_progress_ratio", {}, 0.45),
        ("tuneloop_job_step", {}, 40),
        ("tuneloop_job_loss", {}, 0.5),
        ("tuneloop_job_tokens_per_second", {}, 1000),
        ("tuneloop_job_heartbeat_timestamp_seconds", {}, NOW.timestamp() - 20),
        ("tuneloop_job_checkpoint_age_seconds", {}, 300),
        ("tuneloop_job_checkpoint_save_seconds", {}, 2.5),
        ("tuneloop_job_time_to_first_step_seconds", {}, 120),
        ("tuneloop_job_gpu_seconds_total", {}, 1000),
        ("tuneloop_job_lost_steps_total", {}, 12),
        ("tuneloop_job_goodput_ratio", {}, 0.93),
        ("tuneloop_job_restarts_total", {"class": "failure"}, 3),
        ("tuneloop_job_restarts_total", {"class": "disruption"}, 1),
    ],
)
def test_a_job_that_trains_has_this_metric(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(of_job(RUNNING), name, **labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("attempt", "step"),
    [
        pytest.param(2, 41, id="of this attempt: newer than the status"),
        pytest.param(1, 40, id="of an older attempt: nothing"),
    ],
)
def test_the_newest_message_counts_before_it_is_in_the_status(attempt: int, step: int) -> None:
    message = ProgressMessage(stage="train", attempt=attempt, sequence=9, sent_at=stamp(seconds=1), step=41)
    assert value(of_job(RUNNING, message=message), "tuneloop_job_step") == step


def test_a_job_without_a_status_has_no_series() -> None:
    assert of_job({}) == {}


@pytest.mark.parametrize("phase", ["Pending", "Queued", "Restarting", "Suspended", "Succeeded", "Failed"])
@pytest.mark.parametrize(
    "name",
    ["heartbeat_timestamp_seconds", "tokens_per_second", "checkpoint_age_seconds", "checkpoint_save_seconds"],
)
def test_a_job_that_does_not_run_has_no_metric_that_would_only_age(phase: str, name: str) -> None:
    assert value(of_job(RUNNING | {"phase": phase}), f"tuneloop_job_{name}") is None


@pytest.mark.parametrize(
    ("resources", "nodes", "held"),
    [
        pytest.param({}, None, 60, id="one GPU of one node"),
        pytest.param({"nodes": 2, "gpusPerNode": 8}, None, 960, id="all that the spec asks for"),
        pytest.param({"nodes": 2, "gpusPerNode": 8}, 1, 480, id="those of a smaller attempt"),
        pytest.param({"gpusPerNode": 0}, None, 0, id="none on CPU"),
    ],
)
def test_gpus_that_pods_hold_now_are_counted(resources: dict[str, int], nodes: int | None, held: float) -> None:
    status = RUNNING | {"runningSince": stamp(seconds=60)} | ({"nodes": nodes} if nodes else {})
    found = samples(manifest("FineTuneJob", "reviews", status) | {"spec": {"resources": resources}})
    assert found["tuneloop_job_gpu_seconds_total", frozenset(NAMED.items())] == 1000 + held


def test_a_first_attempt_that_runs_has_used_gpus_and_lost_nothing() -> None:
    found = of_job({"phase": "Running", "attempt": 1, "runningSince": stamp(seconds=60)})
    values = [
        value(found, f"tuneloop_job_{name}") for name in ("gpu_seconds_total", "lost_steps_total", "goodput_ratio")
    ]
    assert values == [60, 0, None]


def test_the_time_of_a_save_is_that_of_the_newest_message() -> None:
    message = ProgressMessage(stage="train", attempt=2, sequence=9, sent_at=stamp(seconds=1), save_seconds_p95=4.0)
    assert value(of_job(RUNNING, message=message), "tuneloop_job_checkpoint_save_seconds") == 4


def test_a_queued_attempt_shows_how_long_it_waits() -> None:
    attempt = manifest("Job", "reviews-a2", {}, creationTimestamp=stamp(minutes=3))
    status = RUNNING | {"phase": "Queued", "children": {"train": {"name": "reviews-a2", "uid": "u"}}}
    assert value(of_job(status, attempt), "tuneloop_job_queue_wait_seconds") == 180


@pytest.mark.parametrize(
    ("status", "labels"),
    [
        ({"phase": "Succeeded"}, {"result": "Succeeded", "class": ""}),
        ({"phase": "Succeeded", "failure": {"class": "Hang"}}, {"result": "Succeeded", "class": ""}),
        ({"phase": "Failed", "failure": {"class": "Data"}}, {"result": "Failed", "class": "Data"}),
        ({"phase": "Failed", "failure": {"class": "any text"}}, {"result": "Failed", "class": "Unknown"}),
        ({"phase": "Failed"}, {"result": "Failed", "class": "Unknown"}),
    ],
)
def test_a_finished_job_shows_how_it_ended(status: dict[str, Any], labels: dict[str, str]) -> None:
    assert value(of_job(status), "tuneloop_job_completed_total", **labels) == 1


@pytest.mark.parametrize(
    ("kind", "name", "phases"),
    [
        ("FineTuneJob", "tuneloop_jobs", {"Running": 2.0, "Pending": 1.0, "Failed": 0.0}),
        ("ModelDeployment", "tuneloop_model_deployments", {"Ready": 0.0, "Pending": 1.0}),
    ],
)
def test_objects_are_counted_by_phase(kind: str, name: str, phases: dict[str, float]) -> None:
    statuses = [{"phase": "Running"}, {"phase": "Running"}, {}]
    found = samples(*(manifest(kind, f"x{number}", status) for number, status in enumerate(statuses)))
    assert {phase: value(found, name, phase=phase) for phase in phases} == phases


def test_series_end_with_their_object() -> None:
    store, metrics = new_store(), Metrics()
    job = manifest("FineTuneJob", "reviews", RUNNING)
    metrics.watch_objects(lambda: metrics_of(store, now=NOW))

    def series() -> list[str]:
        return [name for name, labels in parsed(metrics.text()) if ("name", "reviews") in labels]

    store.put(job)
    assert "tuneloop_job_step" in series()
    store.remove(job)
    assert series() == []


def test_routers_that_refuse_a_split_are_counted_for_deployments_that_have_routers() -> None:
    store = new_store()
    for name in ("reviews", "mails", "plain"):
        store.put(manifest("ModelDeployment", name, {}))
    for name, router, refused in (
        ("reviews", "a", 8),
        ("reviews", "b", None),
        ("reviews", "c", 0),
        ("mails", "a", None),
    ):
        store.put_router_report(f"uid-{name}", RouterReport(router=router, in_force=7, refused=refused))
    found = parsed(metrics_of(store, now=NOW).encode())
    counts = {
        dict(labels)["deployment"]: count
        for (name, labels), count in found.items()
        if name == "tuneloop_model_deployment_refusing_routers"
    }
    assert counts == {"reviews": 2, "mails": 0}


@pytest.mark.parametrize(
    ("act", "name", "labels", "expected"),
    [
        (lambda m: m.called(Call("patch", "finetunejobs/status", 200, 0.1)), "tuneloop_api_calls_total",
         {"verb": "patch", "resource": "finetunejobs/status", "code": "200"}, 1),
        (lambda m: m.called(Call("get", "jobs", 0, 10.0)), "tuneloop_api_calls_total",
         {"verb": "get", "resource": "jobs", "code": "0"}, 1),
        (lambda m: m.called(Call("get", "jobs", 200, 0.5)), "tuneloop_api_call_seconds_sum",
         {"verb": "get", "resource": "jobs"}, 0.5),
        (lambda m: m.taken(waited=0.25), "tuneloop_work_queue_wait_seconds_sum", {}, 0.25),
        (lambda m: m.reconciled("FineTuneJob", seconds=0.5, error=None), "tuneloop_reconcile_seconds_sum",
         {"kind": "FineTuneJob"}, 0.5),
        (lambda m: m.reconciled("FineTuneJob", seconds=0.5, error=ClusterUnavailable("x")),
         "tuneloop_reconcile_errors_total", {"kind": "FineTuneJob", "error": "ClusterUnavailable"}, 1),
        (lambda m: m.watch_leader(lambda: True), "tuneloop_leader", {}, 1),
        (lambda m: m.watch_depth(lambda: 7), "tuneloop_work_queue_depth", {}, 7),
        (lambda m: m.watch_router_polls(lambda: 5), "tuneloop_router_polls", {}, 5),
        (lambda m: m.queried("NoData"), "tuneloop_prometheus_queries_total", {"result": "NoData"}, 1),
    ],
    ids=["a call", "a call without an answer", "its time", "a wait", "a reconcile", "an error", "leading", "the queue", "polls", "a query"],
)  # fmt: skip
def test_the_operator_measures_itself(
    act: Callable[[Metrics], None], name: str, labels: dict[str, str], expected: float
) -> None:
    metrics = Metrics()
    act(metrics)
    assert value(parsed(metrics.text()), name, **labels) == expected


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("tuneloop_reconcile_seconds_count", {"kind": "FineTuneJob"}),
        ("tuneloop_work_queue_wait_seconds_count", {}),
        ("tuneloop_reconcile_errors_total", {"kind": "FineTuneJob", "error": "ClusterUnavailable"}),
    ],
)
def test_the_operator_measures_its_work(harness: OperatorHarness, name: str, labels: dict[str, str]) -> None:
    metrics = Metrics()

    async def life() -> None:
        harness.operator = Operator(
            cluster=harness.cluster,
            settings=harness.settings,
            clock=lambda: harness.now,
            workers=1,
            instruments=metrics,
        )
        harness.cluster.fail_write = 1
        harness.submit()
        await harness.settle()

    asyncio.run(life())
    assert value(parsed(metrics.text()), name, **labels) >= 1  # on a slow machine it has tried again meanwhile
