"""Containers that others put into our pods, such as a mesh's proxy: what counts is how our own container ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from child_manifests import at, bare, stamp
from observed_jobs import NOW, SETTINGS, STAMP, a_job, ended, observed, pod_of, stage_job
from operator_harness import RESULT, SUMMARIES, OperatorHarness

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.controller.observe.fine_tune_job import pod_view
from tuneloop_operator.controller.observe.outlived_jobs import with_outcome_of_pods
from tuneloop_operator.decide.fine_tune_job.deadlines import overdue, waits_for_start

RUNS = {"running": {"startedAt": stamp(3)}}
WAITS = {"waiting": {"reason": "ImagePullBackOff", "message": "no tag"}}
ENDED = {"terminated": {"exitCode": 0, "message": "well", "startedAt": stamp(2), "finishedAt": stamp(9)}}


def proxy(state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "istio-proxy", "imageID": "proxy@sha256:aa", "state": state}


def ours(state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "trainer", "imageID": "trainer@sha256:cc", "state": state}


def view_of(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), phase: str = "Running") -> Any:
    status = {"phase": phase, "containerStatuses": list(containers), "initContainerStatuses": list(init)}
    return pod_view(bare("Pod", "p") | {"status": status})


def test_the_container_of_ours_counts_wherever_it_stands() -> None:
    view = view_of(proxy(RUNS), ours(ENDED))
    assert (view.image, view.started, view.ended.finished, view.ended.message) == ("trainer@sha256:cc", at(2), at(9), "well")  # fmt: skip
    assert view_of(proxy(RUNS), ours(RUNS)).ended is None
    assert view_of(proxy(ENDED), ours(RUNS)).ended is None


@pytest.mark.parametrize(
    ("view", "is_outlived"),
    [
        (view_of(proxy(RUNS), ours(ENDED)), True),
        (view_of(proxy(WAITS), ours(ENDED), phase="Pending"), True),
        (view_of(proxy(ENDED), ours(ENDED)), False),
        (view_of(ours(ENDED)), False),
        (view_of(proxy(RUNS), ours(RUNS)), False),
        (view_of(proxy(RUNS)), False),
        (view_of(ours(ENDED), init=(proxy(RUNS),)), False),  # the kubelet ends a native sidecar by itself
        (view_of(proxy(RUNS), ours(ENDED), phase="Failed"), False),
    ],
)
def test_a_pod_is_held_by_a_container_that_outlives_ours(view: Any, is_outlived: bool) -> None:
    assert view.is_outlived is is_outlived


def test_no_process_of_ours_runs_once_our_container_has_ended() -> None:
    assert view_of(proxy(RUNS), ours(ENDED)).is_terminal
    assert not view_of(proxy(ENDED), ours(RUNS)).is_terminal
    assert not view_of(proxy(RUNS)).is_terminal


STARTS = {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("view", "waiting"),
    [
        (view_of(proxy(RUNS), ours(WAITS)), ("ImagePullBackOff", "no tag")),
        (view_of(ours(STARTS), init=(proxy(WAITS),)), ("ImagePullBackOff", "container istio-proxy: no tag")),
        (view_of(proxy(WAITS), ours(RUNS)), ("ImagePullBackOff", "container istio-proxy: no tag")),
        (view_of(proxy(WAITS), ours(ENDED)), ("", "")),
        (view_of(proxy(STARTS), ours(STARTS), init=(proxy(RUNS),)), ("PodInitializing", "")),
        (view_of(proxy(STARTS), ours(WAITS), init=(proxy(WAITS),)), ("ImagePullBackOff", "no tag")),
    ],
)
def test_a_container_that_keeps_ours_from_its_work_is_named(view: Any, waiting: tuple[str, str]) -> None:
    assert (view.waiting, view.waiting_message) == waiting


LEFT = {"ended": ended(0), "is_outlived": True, "started": NOW}


@pytest.mark.parametrize(
    ("job", "pod", "outcome"),
    [
        ({}, LEFT, "Succeeded"),
        ({}, LEFT | {"ended": ended(1)}, "Failed"),
        ({"suspended": True}, LEFT, None),  # a queue took its nodes
        ({"deleting": True}, LEFT, None),
        ({}, LEFT | {"deletion_asked": NOW}, None),  # the Job controller sees that it goes
        ({}, LEFT | {"is_outlived": False}, None),
        ({"outcome": "Failed"}, LEFT, "Failed"),
    ],
)
def test_the_outcome_of_a_job_that_is_outlived(job: dict[str, Any], pod: dict[str, Any], outcome: str | None) -> None:
    run = stage_job("prepare", **job)
    found = with_outcome_of_pods(run, [pod_of(run, **pod)], parallelism=1)
    assert (found.outcome, found.is_outlived) == (outcome, outcome is not None and not job)


@pytest.mark.parametrize(("started", "waits"), [(None, True), (NOW, False)])
def test_a_stage_whose_container_runs_is_on_its_way_whatever_waits_beside_it(started: Any, waits: bool) -> None:
    run = stage_job("prepare")
    status = {"startTime": STAMP, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}
    pod = pod_of(run, phase="Pending", waiting="InvalidImageName", started=started)
    found = observed(a_job(status), jobs=(run,), pods=(pod,))
    assert waits_for_start(found, FineTuneJobStatus.from_wire(status), run) is waits
    failure = overdue(found, FineTuneJobStatus.from_wire(status), now=NOW, settings=SETTINGS)
    assert (failure is not None) is waits


def end_ours(harness: OperatorHarness, name: str, *, exit_code: int = 0, message: Any = "") -> None:
    """Let our container end, while a proxy goes on in its pod; the Job controller declares nothing."""
    pod = harness.cluster.objects["Pod", "team-a", name]
    text = message if isinstance(message, str) else json.dumps(message)
    terminated = {"exitCode": exit_code, "message": text, "startedAt": harness.stamp(), "finishedAt": harness.stamp()}
    ready = [{"type": "Ready", "status": "False"}]
    containers = [proxy(RUNS), ours({"terminated": terminated})]
    harness.cluster.change(pod, status={"phase": "Running", "conditions": ready, "containerStatuses": containers})


def succeeds(harness: OperatorHarness, job: str, *indices: int) -> None:
    """Let our containers of these pods end well; the first pod says what its stage made."""
    stage = harness.cluster.objects["Job", "team-a", job]["metadata"]["labels"]["tuneloop.dev/stage"]
    message = {"version": 1, "stage": stage, "outcome": "Succeeded"}
    for index in indices:
        whole = message | {"result": RESULT, stage: SUMMARIES[stage]} if index == 0 else message
        end_ours(harness, f"{job}-{index}", message=whole)


def test_a_job_in_a_mesh_goes_on_to_its_end_and_leaves_no_pod_behind(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.start_pods("reviews-prepare")
        await harness.settle()
        succeeds(harness, "reviews-prepare", 0)
        await harness.settle()
        assert (harness.status["phase"], harness.jobs) == ("Queued", {"reviews-a1"})
        harness.start_pods("reviews-a1")
        await harness.settle()
        succeeds(harness, "reviews-a1", 1)
        await harness.settle()
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "2/2")
        succeeds(harness, "reviews-a1", 0)
        await harness.settle()
        assert (harness.status["phase"], harness.jobs) == ("Exporting", {"reviews-export"})
        harness.start_pods("reviews-export")
        succeeds(harness, "reviews-export", 0)
        await harness.settle()
        assert (harness.status["phase"], harness.jobs) == ("Succeeded", set())
        assert not harness.status.get("restarts")

    asyncio.run(life())
    assert harness.errors == []


def test_a_gang_in_a_mesh_restarts_after_its_first_failure(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        end_ours(harness, "reviews-a1-1", exit_code=74, message="the disk is full")
        await harness.settle()
        await harness.settle(later=30)
        assert "reviews-a1" not in harness.jobs
        assert harness.status["failure"]["class"] == "Storage"
        for pod in list(harness.cluster.of_kind("Pod").values()):
            harness.cluster.remove(pod)
        await harness.settle(later=60)
        assert "reviews-a2" in harness.jobs
        assert harness.status["restarts"]["total"] == 1

    asyncio.run(life())
    assert harness.errors == []


@pytest.mark.parametrize("stage", ["prepare", "a1"])
def test_a_failure_that_no_restart_mends_ends_the_job_at_once(harness: OperatorHarness, stage: str) -> None:
    async def life() -> None:
        if stage == "prepare":
            harness.submit()
            await harness.settle()
            harness.start_pods("reviews-prepare")
        else:
            await harness.train()
        await harness.settle()
        end_ours(harness, f"reviews-{stage}-0", exit_code=78, message="no such field")
        await harness.settle()
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "Config")
        assert f"reviews-{stage}" not in harness.jobs

    asyncio.run(life())
    assert harness.errors == []


def test_a_failed_pod_whose_peers_still_run_is_judged_after_a_while(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        end_ours(harness, "reviews-a1-1", exit_code=77, message="lost a peer")
        await harness.settle()
        assert "reviews-a1" in harness.jobs  # the peer may show the cause
        end_ours(harness, "reviews-a1-0", exit_code=74, message="the disk is full")
        await harness.settle()
        assert harness.status["failure"]["class"] == "Storage"
        assert "reviews-a1" not in harness.jobs

    asyncio.run(life())


def test_a_well_ended_pod_without_a_sidecar_is_left_to_the_job_controller(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        harness.succeed("reviews-prepare")
        harness.cluster.change(harness.cluster.of_kind("Job")["reviews-prepare"], status={})
        await harness.settle()
        assert (harness.status["phase"], harness.jobs) == ("Preparing", {"reviews-prepare"})

    asyncio.run(life())
