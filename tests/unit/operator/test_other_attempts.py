"""What the next attempt does in another way: smaller micro-batch, one checkpoint back, other nodes, fewer nodes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from conftest import Bed


pytestmark = pytest.mark.anyio
SAVED = {"step": 100, "path": "/tuneloop/claims/models/step-100"}


def run_config(bed: Bed, job: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(bed.cluster.of_kind("ConfigMap")[job]["data"]["run.json"])
    return config


def post(bed: Bed, *, attempt: int = 1, **fields: Any) -> None:
    message = ProgressMessage(
        stage="train", attempt=attempt, sequence=1, sent_at=bed.now.isoformat(), **({"start_step": 0} | fields)
    )
    assert bed.operator.progress("team-a", "reviews", message)


def said(kind: str, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "stage": "train", "outcome": "Failed", "failureClass": kind} | fields


async def fail(bed: Bed, job: str, kind: str, *, code: int = 1, later: float = 700, **fields: Any) -> None:
    """Let the first pod of a running gang fail, and start the next one."""
    bed.end_pod(f"{job}-0", exit_code=code, message=said(kind, **fields))
    if f"{job}-1" in bed.cluster.of_kind("Pod"):
        bed.end_pod(f"{job}-1", exit_code=143)
    bed.end_job(job, "FailureTarget")
    await bed.settle()
    await bed.settle(later=later)


async def run_next(bed: Bed) -> str:
    name = f"reviews-a{bed.status['attempt']}"
    bed.start_pods(name)
    await bed.settle()
    return name


async def test_a_gpu_without_memory_halves_the_micro_batch_twice_at_most(bed: Bed) -> None:
    await bed.train()
    sizes = []
    for attempt in (1, 2):
        await fail(bed, f"reviews-a{attempt}", "OutOfMemoryGpu", code=71)
        config = run_config(bed, await run_next(bed))
        sizes.append((config["microBatchSize"], config["settings"]["training"]["globalBatchSize"]))
    assert sizes == [(4, 32), (2, 32)]
    assert bed.status["resume"] == "rounding"
    await fail(bed, "reviews-a3", "OutOfMemoryGpu", code=71)
    assert bed.status["phase"] == "Failed"
    assert "halved 2 times" in bed.status["failure"]["message"]


async def test_a_loss_that_is_not_finite_goes_one_checkpoint_back_and_is_replayed_once(bed: Bed) -> None:
    await bed.train()
    post(bed, step=150, latest=SAVED)
    await bed.settle()
    await fail(bed, "reviews-a1", "NonFiniteLoss", code=76, step=151)
    config = run_config(bed, await run_next(bed))
    assert (config["resumeBefore"], config.get("expectedStep")) == (SAVED["step"], None)
    assert bed.status["restarts"]["failure"] == 0
    await fail(bed, "reviews-a2", "NonFiniteLoss", code=76, step=151)
    assert (bed.status["phase"], bed.status["failure"]["class"]) == ("Failed", "NonFiniteLoss")
    assert "came again" in bed.status["failure"]["message"]


async def test_a_loss_that_is_not_finite_at_a_later_step_is_replayed_again(bed: Bed) -> None:
    await bed.train()
    await fail(bed, "reviews-a1", "NonFiniteLoss", code=76, step=151)
    await run_next(bed)
    await fail(bed, "reviews-a2", "NonFiniteLoss", code=76, step=400)
    assert bed.status["attempt"] == 3


async def test_a_checkpoint_of_the_replay_ends_the_search_before_the_suspect_one(bed: Bed) -> None:
    await bed.train()
    post(bed, step=150, latest=SAVED)
    await bed.settle()
    await fail(bed, "reviews-a1", "NonFiniteLoss", code=76, step=151)
    await run_next(bed)
    post(bed, attempt=2, step=80, latest=SAVED | {"step": 80})
    await bed.settle(later=11)
    await fail(bed, "reviews-a2", "Hang", code=75)
    config = run_config(bed, await run_next(bed))
    assert (config.get("resumeBefore"), config["expectedStep"]) == (None, 80)


@pytest.mark.parametrize("posts", [True, False], ids=["posted", "told only as it ended"])
async def test_a_loss_that_is_not_finite_after_a_damaged_checkpoint_goes_back_behind_the_newest_whole_one(
    bed: Bed, posts: bool
) -> None:
    await bed.train()
    post(bed, step=100, latest=SAVED)
    await bed.settle()
    await fail(bed, "reviews-a1", "Hang", code=75)
    await run_next(bed)
    newest = SAVED | {"step": 70}
    if posts:
        post(bed, attempt=2, start_step=50, step=75, latest=newest)
        await bed.settle(later=11)
    told: dict[str, Any] = {} if posts else {"train": {"startStep": 50, "steps": 75, "worldSize": 2, "last": newest}}
    await fail(bed, "reviews-a2", "NonFiniteLoss", code=76, step=75, **told)
    assert run_config(bed, await run_next(bed))["resumeBefore"] == 70
    assert bed.status["usage"]["lostSteps"] == 5


@pytest.mark.parametrize(
    ("kinds", "avoided"),
    [
        pytest.param(["NodeLost"], ["node-1"], id="a lost node, at once"),
        pytest.param(["Hang"], None, id="one hang may be chance"),
        pytest.param(["Hang", "Hang"], ["node-1"], id="two hangs on one node are not"),
        pytest.param(["Unknown", "Hang"], ["node-1"], id="nor are a crash and a hang"),
        pytest.param(["OutOfMemoryGpu", "OutOfMemoryGpu"], None, id="the job's own fault is not the node's"),
    ],
)
async def test_a_node_on_which_the_job_fails_again_and_again_is_avoided(
    bed: Bed, kinds: list[str], avoided: list[str] | None
) -> None:
    await bed.train()
    for attempt, kind in enumerate(kinds, 1):
        await fail(bed, f"reviews-a{attempt}", kind)
        await run_next(bed)
    names = [one["name"] for one in bed.status.get("avoidedNodes", ())] or None
    assert names == avoided


def unplaced(bed: Bed, job: str, *indices: int) -> None:
    """Let these pods of a Job find no node."""
    bed.start_pods(job)
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    for index in indices:
        pod = bed.cluster.of_kind("Pod")[f"{job}-{index}"]
        bed.cluster.change(pod, spec={}, status={"phase": "Pending", "conditions": [reason]})


async def hang_beside_silence(bed: Bed) -> None:
    """Let one pod of a gang find that all stand still, while the other one, on another node, says nothing."""
    await bed.train()
    bed.cluster.change(bed.cluster.of_kind("Pod")["reviews-a1-1"], spec={"nodeName": "node-2"})
    bed.end_pod("reviews-a1-0", exit_code=75, message=said("Hang"))
    bed.end_job("reviews-a1", "FailureTarget")
    await bed.settle()


async def test_a_node_that_dies_without_a_word_is_blamed_and_not_the_one_that_waited_for_it(bed: Bed) -> None:
    await hang_beside_silence(bed)
    await bed.settle(later=80)
    assert "failure" not in bed.status
    lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    bed.cluster.change(bed.cluster.of_kind("Pod")["reviews-a1-1"], status={"phase": "Running", "conditions": [lost]})
    await bed.settle()
    assert (bed.status["failure"]["class"], bed.status["failure"]["node"]) == ("NodeLost", "node-2")
    assert (bed.status["restarts"]["disruption"], bed.status["restarts"].get("failure", 0)) == (1, 0)


async def test_a_silence_that_lasts_keeps_a_hang_from_being_told_for_a_while_only(bed: Bed) -> None:
    await hang_beside_silence(bed)
    await bed.settle(later=91)
    assert (bed.status["failure"]["class"], bed.status["failure"]["node"]) == ("Hang", "node-1")


async def test_a_bad_node_is_better_than_none(bed: Bed) -> None:
    await bed.train()
    await fail(bed, "reviews-a1", "NodeLost", later=0)
    unplaced(bed, "reviews-a2", 0, 1)
    await bed.settle(later=59)
    assert bed.status["attempt"] == 2
    await bed.settle(later=2)
    await bed.settle(later=60)
    assert (bed.status["attempt"], bed.status["avoidedNodes"]) == (3, [])
    assert bed.status["history"][-1]["reason"] == "NodesReadmitted"
    assert bed.status["restarts"]["total"] == 1


SMALL = {"minNodes": 1, "shrinkAfter": "5m"}


async def test_a_gang_without_room_goes_on_smaller_and_grows_back_at_the_next_restart(bed: Bed) -> None:
    await bed.prepare(scheduling=SMALL)
    unplaced(bed, "reviews-a1", 1)
    await bed.settle(later=299)
    assert bed.status["attempt"] == 1
    await bed.settle(later=2)
    await bed.settle(later=60)
    assert bed.status["history"][-1]["reason"] == "Shrunk"
    assert (bed.status["nodes"], bed.status.get("restarts")) == (1, None)
    gang = bed.cluster.of_kind("Job")["reviews-a2"]
    assert (gang["spec"]["completions"], gang["spec"]["parallelism"]) == (1, 1)
    assert run_config(bed, "reviews-a2")["settings"]["gang"]["nodes"] == 1
    await run_next(bed)
    assert (bed.status["phase"], bed.status["workers"]) == ("Running", "1/1")
    await fail(bed, "reviews-a2", "Hang", code=75)
    assert bed.cluster.of_kind("Job")["reviews-a3"]["spec"]["completions"] == 2


async def test_a_gang_never_gets_smaller_than_its_least_nodes(bed: Bed) -> None:
    await bed.prepare(scheduling=SMALL | {"minNodes": 2})
    unplaced(bed, "reviews-a1", 0, 1)
    await bed.settle(later=1700)
    assert (bed.status["attempt"], bed.status["phase"]) == (1, "Queued")


async def test_the_jobs_own_rules_come_before_the_table(bed: Bed) -> None:
    rules = [{"class": "Hang", "action": "Fail"}, {"exitCodes": [65], "action": "RestartFree"}]
    await bed.prepare(failurePolicy={"rules": rules})
    await run_next(bed)
    await fail(bed, "reviews-a1", "Data", code=65)
    assert (bed.status["attempt"], bed.status["restarts"]["disruption"]) == (2, 1)
    await run_next(bed)
    await fail(bed, "reviews-a2", "Hang", code=75)
    assert bed.status["phase"] == "Failed"


async def test_lost_steps_and_goodput_are_those_that_no_checkpoint_held(bed: Bed) -> None:
    await bed.train()
    post(bed, step=150, latest=SAVED, step_seconds=60.0)
    await bed.settle(later=100)
    await fail(bed, "reviews-a1", "Hang", code=75)
    usage = bed.status["usage"]
    assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
    assert usage["usefulSeconds"] == pytest.approx(40)
    assert usage["goodput"] == pytest.approx(0.4)


async def suspended_at_step_150(bed: Bed) -> None:
    """Suspend a job that has run for 100 s, 50 steps after its newest checkpoint."""
    await bed.train()
    post(bed, step=150, latest=SAVED, step_seconds=60.0)
    await bed.settle(later=100)
    bed.cluster.pods_take_their_time = True
    bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": True})
    await bed.settle()
    assert (bed.status["phase"], bed.jobs) == ("Suspended", {"reviews-prepare"})


async def test_what_the_pods_of_a_suspended_job_save_as_they_stop_is_not_lost_in_its_status(bed: Bed) -> None:
    await suspended_at_step_150(bed)
    assert "usage" not in bed.status
    bed.now += timedelta(seconds=20)
    told = {"startStep": 0, "steps": 155, "worldSize": 2, "last": SAVED | {"step": 155}, "stepSeconds": 62.0}
    for name in ("reviews-a1-1", "reviews-a1-0"):
        bed.end_pod(name, exit_code=79, message=said("Preempted", train=told))
    await bed.settle()
    assert (bed.status["checkpoint"]["latest"]["step"], bed.status["history"][0]["endStep"]) == (155, 155)
    usage = bed.status["usage"]
    assert (usage["lostSteps"], usage["activeSeconds"], usage["usefulSeconds"]) == (0, 120, 62)
    assert "restarts" not in bed.status


async def test_a_job_that_is_suspended_while_its_data_is_prepared_has_used_nothing(bed: Bed) -> None:
    bed.submit(resources={"nodes": 1, "gpusPerNode": 1})
    await bed.settle()
    bed.start_pods("reviews-prepare")
    await bed.settle(later=100)
    bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": True})
    await bed.settle()
    assert bed.status["phase"] == "Suspended"
    assert bed.status.keys().isdisjoint({"runningSince", "usage", "history"})


async def test_a_suspended_job_whose_pods_are_gone_unheard_is_counted_until_it_was_suspended(bed: Bed) -> None:
    await suspended_at_step_150(bed)
    for name in ("reviews-a1-0", "reviews-a1-1"):
        bed.cluster.remove(bed.cluster.of_kind("Pod")[name])
    bed.restart_operator()
    await bed.settle(later=3600)
    usage = bed.status["usage"]
    assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
    bed.cluster.change(bed.job(), spec=bed.job()["spec"] | {"suspend": False})
    await bed.settle()
    assert bed.status["attempt"] == 2
    assert "startStep" not in bed.status["progress"]


async def prepare_again(bed: Bed, digest: str) -> None:
    """Lose the prepared data under a running gang, and let it be prepared again."""
    await bed.train()
    await fail(bed, "reviews-a1", "PreparedDataLost", code=81)
    assert "reviews-prepare" in bed.jobs
    assert bed.status["phase"] == "Preparing"
    bed.succeed("reviews-prepare", datasetDigest=digest)
    await bed.settle()


async def test_prepared_data_that_is_lost_is_made_again_and_training_goes_on(bed: Bed) -> None:
    await prepare_again(bed, "d1")
    assert (bed.status["attempt"], bed.status["restarts"]["failure"]) == (2, 1)
    assert "reviews-a2" in bed.jobs


async def test_an_export_is_told_of_the_result_that_was_made_anew(bed: Bed) -> None:
    await bed.train()
    bed.succeed("reviews-a1")
    await bed.settle()
    bed.fail("reviews-export", exit_code=81, message=said("PreparedDataLost", stage="export"))
    await bed.settle()
    bed.succeed("reviews-prepare", {"path": "/job/prepare.json", "sha256": "b" * 64}, cacheHit=True)
    await bed.settle(later=60)
    (config,) = [
        json.loads(one["data"]["run.json"])
        for name, one in bed.cluster.of_kind("ConfigMap").items()
        if name == "reviews-export"
    ]
    assert config["prepareResult"]["sha256"] == "b" * 64
    bed.succeed("reviews-export")
    await bed.settle()
    assert bed.status["phase"] == "Succeeded"


async def seconds_until_prepared_again(bed: Bed) -> int:
    """Return how long nothing is prepared; it has succeeded then, and the next gang runs."""
    for second in range(60):
        await bed.settle(later=min(second, 1))
        if "ended" not in bed.status["children"]["prepare"]:
            bed.succeed("reviews-prepare", cacheHit=True)
            await bed.settle()
            await run_next(bed)
            return second
    raise AssertionError("nothing is prepared again")


async def test_prepared_data_that_is_lost_each_time_is_made_again_ever_later_and_then_no_more(bed: Bed) -> None:
    await bed.train()
    waits = []
    for attempt in (1, 2, 3):
        await fail(bed, f"reviews-a{attempt}", "PreparedDataLost", code=81, later=0)
        waits.append(await seconds_until_prepared_again(bed))
    await fail(bed, "reviews-a4", "PreparedDataLost", code=81, later=0)
    assert waits == [0, 10, 20]
    assert (bed.status["phase"], bed.status["attempt"]) == ("Failed", 4)
    assert "failurePolicy.maxRestarts" in bed.status["failure"]["message"]


async def test_other_data_than_training_began_with_is_refused(bed: Bed) -> None:
    await prepare_again(bed, "d2")
    assert (bed.status["phase"], bed.status["failure"]["class"]) == ("Failed", "Data")
    assert "have changed since training began" in bed.status["failure"]["message"]


async def test_what_a_pod_said_is_known_after_it_is_gone(bed: Bed) -> None:
    await bed.train()
    told = said("Preempted", train={"startStep": 0, "steps": 120, "worldSize": 2, "last": SAVED | {"step": 120}})
    bed.end_pod("reviews-a1-1", exit_code=79, message=told)
    for name in ("reviews-a1-0", "reviews-a1-1"):
        bed.cluster.remove(bed.cluster.of_kind("Pod")[name])
    bed.end_job("reviews-a1", "FailureTarget")
    await bed.settle()
    assert (bed.status["failure"]["class"], bed.status["restarts"]["disruption"]) == ("Preempted", 1)
    assert bed.status["checkpoint"]["latest"]["step"] == 120
    assert "reviews-a2" in bed.jobs


async def test_a_pod_that_a_user_deleted_is_a_disruption_however_late_it_is_gone(bed: Bed) -> None:
    await bed.train()
    pod = bed.cluster.of_kind("Pod")["reviews-a1-1"]
    asked = {"deletionTimestamp": "2026-01-01T12:05:00Z", "deletionGracePeriodSeconds": 300}
    bed.cluster.change(pod, metadata=pod["metadata"] | asked)
    bed.end_pod("reviews-a1-1", exit_code=143)
    await bed.settle(later=5)
    pod = bed.cluster.of_kind("Pod")["reviews-a1-1"]
    last = {"deletionTimestamp": bed.stamp(), "deletionGracePeriodSeconds": 0}  # the kubelet's own request
    bed.cluster.change(pod, metadata=pod["metadata"] | last)
    bed.cluster.remove(bed.cluster.of_kind("Pod")["reviews-a1-1"])
    bed.end_job("reviews-a1", "FailureTarget")
    await bed.settle(later=6)
    assert bed.status["restarts"]["disruption"] == 1
