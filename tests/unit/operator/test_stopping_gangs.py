"""A gang that is suspended, or that a queue sends back, stops only after its Job has been told: what it used is counted once, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Bed

pytestmark = pytest.mark.anyio

PODS = ("reviews-a1-0", "reviews-a1-1")
SAVED = {"step": 155, "path": "/tuneloop/claims/models/step-155"}
TRAIN = {"startStep": 0, "steps": 155, "worldSize": 2, "last": SAVED, "stepSeconds": 62.0}
SAID = {"version": 1, "stage": "train", "outcome": "Preempted", "failureClass": "Preempted", "train": TRAIN}


def send_back(bed: Bed, *, grace: int = 300) -> None:
    """Suspend the gang's Job as a queue does; its pods have their grace period to stop."""
    stored = bed.cluster.of_kind("Job")["reviews-a1"]
    bed.cluster.change(stored, spec=stored["spec"] | {"suspend": True}, status={})
    ask_to_stop(bed, grace=grace)


async def sent_back_after_100_s(bed: Bed, **spec: Any) -> None:
    await bed.prepare(**spec)
    bed.start_pods("reviews-a1")
    await bed.settle()
    await bed.settle(later=100)
    send_back(bed)
    await bed.settle()


def ask_to_stop(bed: Bed, *, grace: int) -> None:
    by = (bed.now + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in PODS:
        metadata = bed.cluster.of_kind("Pod")[name]["metadata"]
        asked = {"deletionTimestamp": by, "deletionGracePeriodSeconds": grace}
        bed.cluster.change(bed.cluster.of_kind("Pod")[name], metadata=metadata | asked)


def admit(bed: Bed) -> None:
    stored = bed.cluster.of_kind("Job")["reviews-a1"]
    bed.cluster.change(stored, spec=stored["spec"] | {"suspend": False}, status={"startTime": bed.stamp()})


def stop(bed: Bed) -> None:
    """Let the pods say what they saved and be gone, before anybody looks."""
    for name in PODS:
        bed.end_pod(name, exit_code=79, message=SAID)
        bed.cluster.remove(bed.cluster.of_kind("Pod")[name])


async def suspend(bed: Bed) -> None:
    """Suspend a job that has run for 100 s; its pods live on."""
    await bed.train()
    await bed.settle(later=100)
    bed.cluster.pods_take_their_time = True
    bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": True})
    await bed.settle()


async def test_the_last_words_of_pods_that_outlive_their_job_are_heard_although_they_are_gone_at_once(bed: Bed) -> None:
    await suspend(bed)
    bed.now += timedelta(seconds=20)
    stop(bed)
    await bed.settle()
    assert bed.status["checkpoint"]["latest"]["step"] == 155
    assert (bed.status["usage"]["activeSeconds"], bed.status["usage"]["lostSteps"]) == (120, 0)


async def test_a_suspended_gang_whose_node_is_lost_is_counted_once_its_time_is_over(bed: Bed) -> None:
    await suspend(bed)
    ask_to_stop(bed, grace=30)
    await bed.settle()
    assert "usage" not in bed.status
    await bed.settle(later=60)
    assert bed.status["usage"]["activeSeconds"] == 100


async def test_a_job_that_waits_in_a_queue_beyond_its_disruptions_spends_no_active_time(bed: Bed) -> None:
    await sent_back_after_100_s(bed, failurePolicy={"maxDisruptions": 0}, activeDeadlineSeconds=1000)
    bed.now += timedelta(seconds=20)
    stop(bed)
    await bed.settle()
    await bed.settle(later=5000)
    assert bed.status["phase"] == "Queued"
    assert "runningSince" not in bed.status


async def test_pods_that_still_stop_are_not_the_gang_that_was_admitted_anew(bed: Bed) -> None:
    await sent_back_after_100_s(bed, failurePolicy={"startDeadline": "5m"})
    bed.now += timedelta(seconds=30)
    admit(bed)
    await bed.settle()
    assert bed.status["workers"] == "0/2"
    bed.now += timedelta(seconds=20)
    stop(bed)
    await bed.settle()
    await bed.settle(later=400)
    assert (bed.status["phase"], bed.status["failure"]["class"]) == ("Failed", "StartDeadline")


async def test_a_gang_that_was_sent_back_and_let_go_anew_while_no_operator_ran_is_counted_without_its_wait(
    bed: Bed,
) -> None:
    await sent_back_after_100_s(bed)
    watchers, bed.cluster.watchers = bed.cluster.watchers, []
    for name in PODS:
        bed.cluster.remove(bed.cluster.of_kind("Pod")[name])
    bed.now += timedelta(seconds=1000)
    admit(bed)
    bed.start_pods("reviews-a1")
    bed.now += timedelta(seconds=200)
    for name in PODS:
        bed.end_pod(name, exit_code=77)
    bed.end_job("reviews-a1", "FailureTarget")
    bed.cluster.watchers = watchers
    bed.restart_operator()
    await bed.settle()
    assert bed.status["usage"]["activeSeconds"] == 300


async def test_a_gang_that_came_up_and_was_sent_back_while_no_operator_ran_is_counted(bed: Bed) -> None:
    await bed.prepare()
    watchers, bed.cluster.watchers = bed.cluster.watchers, []
    bed.start_pods("reviews-a1")
    bed.now += timedelta(seconds=100)
    send_back(bed)
    bed.cluster.watchers = watchers
    bed.restart_operator()
    await bed.settle()
    bed.now += timedelta(seconds=20)
    stop(bed)
    await bed.settle()
    usage: dict[str, Any] = bed.status["usage"]
    assert (usage["activeSeconds"], usage["lostSteps"]) == (120, 0)
    assert bed.status["checkpoint"]["latest"]["step"] == 155
