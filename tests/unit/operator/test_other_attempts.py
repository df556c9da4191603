"""How the next attempt differs: smaller micro-batch, one checkpoint back, other nodes, fewer nodes."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


SAVED = {"step": 100, "path": "/tuneloop/claims/models/step-100"}


def run_config(harness: OperatorHarness, job: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(harness.cluster.of_kind("ConfigMap")[job]["data"]["run.json"])
    return config


def post(harness: OperatorHarness, *, attempt: int = 1, **fields: Any) -> None:
    message = ProgressMessage(
        stage="train", attempt=attempt, sequence=1, sent_at=harness.now.isoformat(), **({"start_step": 0} | fields)
    )
    assert harness.operator.progress("team-a", "reviews", message)


def termination_message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "stage": "train", "outcome": "Failed", "failureClass": kind} | fields


async def fail(
    harness: OperatorHarness, job: str, kind: str, *, code: int = 1, later: float = 700, **fields: Any
) -> None:
    """Let the first pod of a running gang fail, and start the next one."""
    harness.end_pod(f"{job}-0", exit_code=code, message=termination_message(kind, **fields))
    if f"{job}-1" in harness.cluster.of_kind("Pod"):
        harness.end_pod(f"{job}-1", exit_code=143)
    harness.end_job(job, "FailureTarget")
    await harness.settle()
    await harness.settle(later=later)


async def run_next(harness: OperatorHarness) -> str:
    name = f"reviews-a{harness.status['attempt']}"
    harness.start_pods(name)
    await harness.settle()
    return name


def test_a_gpu_without_memory_halves_the_micro_batch_twice_at_most(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        sizes = []
        for attempt in (1, 2):
            await fail(harness, f"reviews-a{attempt}", "OutOfMemoryGpu", code=71)
            config = run_config(harness, await run_next(harness))
            sizes.append((config["microBatchSize"], config["settings"].get("training")))
        assert sizes == [(4, None), (2, None)]  # the spec sets no global batch, and none is set for it
        assert harness.status["resume"] == "rounding"
        await fail(harness, "reviews-a3", "OutOfMemoryGpu", code=71)
        assert harness.status["phase"] == "Failed"
        assert "halved 2 times" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_loss_that_is_not_finite_goes_one_checkpoint_back_and_is_replayed_once(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        config = run_config(harness, await run_next(harness))
        assert (config["resumeBefore"], config.get("expectedStep")) == (SAVED["step"], None)
        assert harness.status["restarts"]["failure"] == 0
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=151)
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "NonFiniteLoss")
        assert "came again" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_a_loss_that_is_not_finite_at_a_later_step_is_replayed_again(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        await run_next(harness)
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=400)
        assert harness.status["attempt"] == 3

    asyncio.run(life())


def test_a_checkpoint_of_the_replay_ends_the_search_before_the_suspect_one(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "NonFiniteLoss", code=76, step=151)
        await run_next(harness)
        post(harness, attempt=2, step=80, latest=SAVED | {"step": 80})
        await harness.settle(later=11)
        await fail(harness, "reviews-a2", "Hang", code=75)
        config = run_config(harness, await run_next(harness))
        assert (config.get("resumeBefore"), config["expectedStep"]) == (None, 80)

    asyncio.run(life())


@pytest.mark.parametrize("posts", [True, False], ids=["posted", "only in the termination message"])
def test_a_loss_that_is_not_finite_after_a_damaged_checkpoint_goes_back_behind_the_newest_whole_one(
    harness: OperatorHarness, posts: bool
) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=100, latest=SAVED)
        await harness.settle()
        await fail(harness, "reviews-a1", "Hang", code=75)
        await run_next(harness)
        newest = SAVED | {"step": 70}
        if posts:
            post(harness, attempt=2, start_step=50, step=75, latest=newest)
            await harness.settle(later=11)
        summary: dict[str, Any] = (
            {} if posts else {"train": {"startStep": 50, "steps": 75, "worldSize": 2, "last": newest}}
        )
        await fail(harness, "reviews-a2", "NonFiniteLoss", code=76, step=75, **summary)
        assert run_config(harness, await run_next(harness))["resumeBefore"] == 70
        assert harness.status["usage"]["lostSteps"] == 5

    asyncio.run(life())


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
def test_a_node_on_which_the_job_fails_again_and_again_is_avoided(
    harness: OperatorHarness, kinds: list[str], avoided: list[str] | None
) -> None:
    async def life() -> None:
        await harness.train()
        for attempt, kind in enumerate(kinds, 1):
            await fail(harness, f"reviews-a{attempt}", kind)
            await run_next(harness)
        names = [node["name"] for node in harness.status.get("avoidedNodes", ())] or None
        assert names == avoided

    asyncio.run(life())


def unplaced(harness: OperatorHarness, job: str, *indices: int) -> None:
    """Let these pods of a Job find no node."""
    harness.start_pods(job)
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    for index in indices:
        pod = harness.cluster.of_kind("Pod")[f"{job}-{index}"]
        harness.cluster.change(pod, spec={}, status={"phase": "Pending", "conditions": [reason]})


async def hang_beside_silence(harness: OperatorHarness) -> None:
    """Let one pod of a gang fail with a hang, while the pod on the other node does not end."""
    await harness.train()
    harness.cluster.change(harness.cluster.of_kind("Pod")["reviews-a1-1"], spec={"nodeName": "node-2"})
    harness.end_pod("reviews-a1-0", exit_code=75, message=termination_message("Hang"))
    harness.end_job("reviews-a1", "FailureTarget")
    await harness.settle()


def test_a_node_that_dies_without_a_word_is_blamed_and_not_the_one_that_waited_for_it(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await hang_beside_silence(harness)
        await harness.settle(later=80)
        assert "failure" not in harness.status
        lost = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
        harness.cluster.change(
            harness.cluster.of_kind("Pod")["reviews-a1-1"], status={"phase": "Running", "conditions": [lost]}
        )
        await harness.settle()
        assert (harness.status["failure"]["class"], harness.status["failure"]["node"]) == ("NodeLost", "node-2")
        assert (harness.status["restarts"]["disruption"], harness.status["restarts"].get("failure", 0)) == (1, 0)

    asyncio.run(life())


def test_a_silence_that_lasts_delays_the_report_of_a_hang_for_a_while_only(harness: OperatorHarness) -> None:
    async def life() -> None:
        await hang_beside_silence(harness)
        await harness.settle(later=91)
        assert (harness.status["failure"]["class"], harness.status["failure"]["node"]) == ("Hang", "node-1")

    asyncio.run(life())


def test_a_bad_node_is_better_than_none(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        await fail(harness, "reviews-a1", "NodeLost", later=0)
        unplaced(harness, "reviews-a2", 0, 1)
        await harness.settle(later=59)
        assert harness.status["attempt"] == 2
        await harness.settle(later=2)
        await harness.settle(later=60)
        assert (harness.status["attempt"], harness.status["avoidedNodes"]) == (3, [])
        assert harness.status["history"][-1]["reason"] == "NodesReadmitted"
        assert harness.status["restarts"]["total"] == 1

    asyncio.run(life())


SMALL = {"minNodes": 1, "shrinkAfter": "5m"}


def test_a_gang_without_room_goes_on_smaller_and_grows_back_at_the_next_restart(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL)
        unplaced(harness, "reviews-a1", 1)
        await harness.settle(later=299)
        assert harness.status["attempt"] == 1
        await harness.settle(later=2)
        await harness.settle(later=60)
        assert harness.status["history"][-1]["reason"] == "Shrunk"
        assert (harness.status["nodes"], harness.status.get("restarts")) == (1, None)
        gang = harness.cluster.of_kind("Job")["reviews-a2"]
        assert (gang["spec"]["completions"], gang["spec"]["parallelism"]) == (1, 1)
        assert run_config(harness, "reviews-a2")["settings"]["gang"]["nodes"] == 1
        await run_next(harness)
        assert (harness.status["phase"], harness.status["workers"]) == ("Running", "1/1")
        await fail(harness, "reviews-a2", "Hang", code=75)
        assert harness.cluster.of_kind("Job")["reviews-a3"]["spec"]["completions"] == 2

    asyncio.run(life())


def test_a_gang_whose_pods_are_refused_goes_on_smaller(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL)
        uid = harness.cluster.of_kind("Job")["reviews-a1"]["metadata"]["uid"]
        harness.cluster.refused_pods[uid] = "pods is forbidden: exceeded quota: few"
        await harness.settle(later=11)
        await harness.settle(later=280)
        assert harness.status["attempt"] == 1
        await harness.settle(later=10)
        await harness.settle(later=60)
        assert harness.status["history"][-1]["reason"] == "Shrunk"
        assert harness.cluster.of_kind("Job")["reviews-a2"]["spec"]["completions"] == 1

    asyncio.run(life())


def test_a_gang_never_gets_smaller_than_its_least_nodes(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.prepare(scheduling=SMALL | {"minNodes": 2})
        unplaced(harness, "reviews-a1", 0, 1)
        await harness.settle(later=1700)
        assert (harness.status["attempt"], harness.status["phase"]) == (1, "Queued")

    asyncio.run(life())


def test_the_jobs_own_rules_come_before_the_table(harness: OperatorHarness) -> None:
    async def life() -> None:
        rules = [{"class": "Hang", "action": "Fail"}, {"exitCodes": [65], "action": "RestartFree"}]
        await harness.prepare(failurePolicy={"rules": rules})
        await run_next(harness)
        await fail(harness, "reviews-a1", "Data", code=65)
        assert (harness.status["attempt"], harness.status["restarts"]["disruption"]) == (2, 1)
        await run_next(harness)
        await fail(harness, "reviews-a2", "Hang", code=75)
        assert harness.status["phase"] == "Failed"

    asyncio.run(life())


def test_lost_steps_and_goodput_are_those_that_no_checkpoint_held(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        post(harness, step=150, latest=SAVED, step_seconds=60.0)
        await harness.settle(later=100)
        await fail(harness, "reviews-a1", "Hang", code=75)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
        assert usage["usefulSeconds"] == pytest.approx(40)
        assert usage["goodput"] == pytest.approx(0.4)

    asyncio.run(life())


async def suspended_at_step_150(harness: OperatorHarness) -> None:
    """Suspend a job that has run for 100 s, 50 steps after its newest checkpoint."""
    await harness.train()
    post(harness, step=150, latest=SAVED, step_seconds=60.0)
    await harness.settle(later=100)
    harness.cluster.pods_take_their_time = True
    harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
    await harness.settle()
    assert (harness.status["phase"], harness.jobs) == ("Suspended", {"reviews-prepare"})


def test_a_checkpoint_that_the_pods_of_a_suspended_job_save_as_they_stop_is_in_its_status(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_at_step_150(harness)
        assert "usage" not in harness.status
        harness.now += timedelta(seconds=20)
        summary = {"startStep": 0, "steps": 155, "worldSize": 2, "last": SAVED | {"step": 155}, "stepSeconds": 62.0}
        for name in ("reviews-a1-1", "reviews-a1-0"):
            harness.end_pod(name, exit_code=79, message=termination_message("Preempted", train=summary))
        await harness.settle()
        assert (harness.status["checkpoint"]["latest"]["step"], harness.status["history"][0]["endStep"]) == (155, 155)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"], usage["usefulSeconds"]) == (0, 120, 62)
        assert "restarts" not in harness.status

    asyncio.run(life())


def test_a_job_that_is_suspended_while_its_data_is_prepared_has_used_nothing(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.submit(resources={"nodes": 1, "gpusPerNode": 1})
        await harness.settle()
        harness.start_pods("reviews-prepare")
        await harness.settle(later=100)
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": True})
        await harness.settle()
        assert harness.status["phase"] == "Suspended"
        assert harness.status.keys().isdisjoint({"runningSince", "usage", "history"})

    asyncio.run(life())


def test_a_suspended_job_whose_pods_vanished_is_counted_until_its_suspension(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await suspended_at_step_150(harness)
        for name in ("reviews-a1-0", "reviews-a1-1"):
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        harness.restart_operator()
        await harness.settle(later=3600)
        usage = harness.status["usage"]
        assert (usage["lostSteps"], usage["activeSeconds"]) == (50, 100)
        harness.cluster.change(harness.job(), spec=harness.job()["spec"] | {"suspend": False})
        await harness.settle()
        assert harness.status["attempt"] == 2
        assert "startStep" not in harness.status["progress"]

    asyncio.run(life())


async def prepare_again(harness: OperatorHarness, digest: str) -> None:
    """Lose the prepared data under a running gang, and let it be prepared again."""
    await harness.train()
    await fail(harness, "reviews-a1", "PreparedDataLost", code=81)
    assert "reviews-prepare" in harness.jobs
    assert harness.status["phase"] == "Preparing"
    harness.succeed("reviews-prepare", datasetDigest=digest)
    await harness.settle()


def test_prepared_data_that_is_lost_is_made_again_and_training_goes_on(harness: OperatorHarness) -> None:
    async def life() -> None:
        await prepare_again(harness, "d1")
        assert (harness.status["attempt"], harness.status["restarts"]["failure"]) == (2, 1)
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_an_export_gets_the_result_of_the_repeated_prepare(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        harness.succeed("reviews-a1")
        await harness.settle()
        harness.fail("reviews-export", exit_code=81, message=termination_message("PreparedDataLost", stage="export"))
        await harness.settle()
        harness.succeed("reviews-prepare", {"path": "/job/prepare.json", "sha256": "b" * 64}, cacheHit=True)
        await harness.settle(later=60)
        (config,) = [
            json.loads(config_map["data"]["run.json"])
            for name, config_map in harness.cluster.of_kind("ConfigMap").items()
            if name == "reviews-export"
        ]
        assert config["prepareResult"]["sha256"] == "b" * 64
        harness.succeed("reviews-export")
        await harness.settle()
        assert harness.status["phase"] == "Succeeded"

    asyncio.run(life())


async def seconds_until_prepared_again(harness: OperatorHarness) -> int:
    """Return the seconds until the data is prepared again. The preparation then succeeds, and the next gang runs."""
    for second in range(60):
        await harness.settle(later=min(second, 1))
        if "ended" not in harness.status["children"]["prepare"]:
            harness.succeed("reviews-prepare", cacheHit=True)
            await harness.settle()
            await run_next(harness)
            return second
    raise AssertionError("nothing is prepared again")


def test_prepared_data_that_is_lost_each_time_is_made_again_ever_later_and_then_no_more(
    harness: OperatorHarness,
) -> None:
    async def life() -> None:
        await harness.train()
        waits = []
        for attempt in (1, 2, 3):
            await fail(harness, f"reviews-a{attempt}", "PreparedDataLost", code=81, later=0)
            waits.append(await seconds_until_prepared_again(harness))
        await fail(harness, "reviews-a4", "PreparedDataLost", code=81, later=0)
        assert waits == [0, 10, 20]
        assert (harness.status["phase"], harness.status["attempt"]) == ("Failed", 4)
        assert "failurePolicy.maxRestarts" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_other_data_than_training_began_with_is_refused(harness: OperatorHarness) -> None:
    async def life() -> None:
        await prepare_again(harness, "d2")
        assert (harness.status["phase"], harness.status["failure"]["class"]) == ("Failed", "Data")
        assert "have changed since training began" in harness.status["failure"]["message"]

    asyncio.run(life())


def test_the_termination_message_of_a_pod_is_known_after_the_pod_is_gone(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        message = termination_message(
            "Preempted", train={"startStep": 0, "steps": 120, "worldSize": 2, "last": SAVED | {"step": 120}}
        )
        harness.end_pod("reviews-a1-1", exit_code=79, message=message)
        for name in ("reviews-a1-0", "reviews-a1-1"):
            harness.cluster.remove(harness.cluster.of_kind("Pod")[name])
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle()
        assert (harness.status["failure"]["class"], harness.status["restarts"]["disruption"]) == ("Preempted", 1)
        assert harness.status["checkpoint"]["latest"]["step"] == 120
        assert "reviews-a2" in harness.jobs

    asyncio.run(life())


def test_a_pod_that_a_user_deleted_is_a_disruption_however_late_it_is_gone(harness: OperatorHarness) -> None:
    async def life() -> None:
        await harness.train()
        pod = harness.cluster.of_kind("Pod")["reviews-a1-1"]
        asked = {"deletionTimestamp": "2026-01-01T12:05:00Z", "deletionGracePeriodSeconds": 300}
        harness.cluster.change(pod, metadata=pod["metadata"] | asked)
        harness.end_pod("reviews-a1-1", exit_code=143)
        await harness.settle(later=5)
        pod = harness.cluster.of_kind("Pod")["reviews-a1-1"]
        last = {"deletionTimestamp": harness.stamp(), "deletionGracePeriodSeconds": 0}  # the kubelet's own request
        harness.cluster.change(pod, metadata=pod["metadata"] | last)
        harness.cluster.remove(harness.cluster.of_kind("Pod")["reviews-a1-1"])
        harness.end_job("reviews-a1", "FailureTarget")
        await harness.settle(later=6)
        assert harness.status["restarts"]["disruption"] == 1

    asyncio.run(life())
