"""Whole roll-outs of a ModelDeployment with `spec.rollout`, on a cluster in memory."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from deployed_in_memory import Deployed, server_pod
from operator_harness import OperatorHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

HOUR = 3600.0


@pytest.fixture
def deployed(harness: OperatorHarness) -> Deployed:
    return Deployed(harness)


def live(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_the_first_revision_is_served_as_soon_as_its_servers_are_ready(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        assert (deployed.status["phase"], deployed.status["ready"], deployed.target) == ("Ready", "2/2", first)
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert deployed.status["rollout"]["phase"] == "Done"

    live(story)


def test_a_new_revision_takes_over_once_all_its_servers_are_ready_and_the_old_one_is_kept(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        assert deployed.counts == {old: 2, new: 2}
        assert (deployed.status["phase"], deployed.status["canary"]["revision"]) == ("Progressing", new)
        assert deployed.condition("Reconciling") == ("True", "Starting")
        await deployed.ready(new, 1)
        assert deployed.target == old
        await deployed.ready(new, 2)
        assert deployed.target == new
        assert deployed.counts == {old: 0, new: 2}
        assert (deployed.status["stable"]["revision"], deployed.status["phase"]) == (new, "Ready")
        assert deployed.status["rollout"]["phase"] == "Baking"
        await deployed.settle(later=2 * HOUR)
        assert deployed.status["rollout"]["phase"] == "Done"
        assert [found["revision"] for found in deployed.status["revisions"]] == [old, new]

    live(story)


def test_a_revision_whose_servers_never_come_is_rejected_and_not_tried_again(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.overdue(new)
        assert (deployed.target, deployed.counts) == (old, {old: 2, new: 0})
        (rejected,) = deployed.status["rollout"]["rejected"]
        assert (rejected["revision"], rejected["reason"]) == (new, "Broken")
        assert deployed.condition("Ready") == ("False", "RolledBack")
        assert deployed.condition("Stalled") == ("True", "RolledBack")
        await deployed.settle(later=2 * HOUR)
        assert deployed.counts == {old: 2, new: 0}
        await deployed.command("retry/2026-01-01")
        assert deployed.counts == {old: 2, new: 2}

    live(story)


@pytest.mark.parametrize(
    ("restarts", "exit_code", "is_rejected"),
    [
        pytest.param(2, 1, False, id="a server that may still come"),
        pytest.param(3, 1, True, id="a server that crashes again and again"),
        pytest.param(1, 74, True, id="an artifact that is damaged"),
    ],
)
def test_servers_that_crash_are_given_up_after_a_while(
    deployed: Deployed, restarts: int, exit_code: int, is_rejected: bool
) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        ended = {"terminated": {"exitCode": exit_code, "message": "no model"}}
        container = {"restartCount": restarts, "state": {"waiting": {}}, "lastState": ended}
        await deployed.replace_pods(new, server_pod(new, 0, ready=False, **container))
        assert deployed.target == old
        assert (new in [found["revision"] for found in deployed.status["rollout"].get("rejected", [])]) is is_rejected

    live(story)


def test_a_revision_that_cannot_be_loaded_says_why_while_it_is_tried_and_after_it_is_rejected(
    deployed: Deployed,
) -> None:
    end = {
        "failureClass": "ModelLoadFailed",
        "message": "model/ cannot be loaded: KeyError: 'odd'",
        "lastLines": ["l"],
    }
    ended = {"terminated": {"exitCode": 66, "message": json.dumps(end)}}

    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        for restarts in range(3):
            container = {"restartCount": restarts, "state": {"waiting": {}}, "lastState": ended}
            await deployed.replace_pods(new, server_pod(new, 0, ready=False, **container))
            failure = deployed.status["failure"]
            assert (failure["class"], failure["revision"], failure["lastLines"]) == ("ModelLoadFailed", new, ["l"])
            assert "failure" not in deployed.status["stable"]
        container = {"restartCount": 3, "state": {"waiting": {}}, "lastState": ended}
        await deployed.replace_pods(new, server_pod(new, 0, ready=False, **container))
        (rejected,) = deployed.status["rollout"]["rejected"]
        assert (rejected["reason"], rejected["failure"]) == ("Broken", "ModelLoadFailed")
        assert f"the servers of {new} fail: ModelLoadFailed: pod " in rejected["message"]
        assert (deployed.target, "failure" in deployed.status) == (old, False)
        assert [event.reason for event in deployed.harness.events].count("ModelLoadFailed") == 1

    live(story)


def test_a_stable_revision_that_fails_is_told_from_a_canary_that_fails(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        lost = {"state": {"waiting": {}}, "lastState": killed, "restartCount": 1}
        await deployed.replace_pods(old, server_pod(old, 0), server_pod(old, 1, ready=False, **lost))
        assert deployed.status["failure"]["class"] == "OutOfMemory"
        assert "failure" not in deployed.status["stable"], "each failure stands once"
        new = await deployed.offer()
        no_image = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no tag"}}}
        await deployed.replace_pods(new, server_pod(new, 0, ready=False, **no_image))
        assert (deployed.status["failure"]["class"], deployed.status["failure"]["revision"]) == ("ImagePull", new)
        assert deployed.status["stable"]["failure"]["class"] == "OutOfMemory"
        await deployed.ready(old, 2)
        assert "failure" not in deployed.status["stable"]
        await deployed.ready(new, 2)
        assert "failure" not in deployed.status

    live(story)


def test_servers_that_are_there_and_not_ready_get_no_requests(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.replace_pods(new, *(server_pod(new, number, ready=False) for number in range(2)))
        assert deployed.target == old

    live(story)


def test_a_revision_of_which_one_server_answers_is_not_broken(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        new = await deployed.offer()
        await deployed.overdue(new, ready=1)
        assert "rejected" not in deployed.status["rollout"]

    live(story)


def test_another_number_of_servers_offers_no_rejected_revision_again(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.overdue(new)
        await deployed.change(replicas=3)
        assert deployed.counts == {old: 3, new: 0}

    live(story)


def test_servers_of_the_revision_before_are_kept_for_a_while_where_the_spec_says_so(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(rollback={"keepReplicas": 1, "window": "2h"})
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert deployed.counts == {old: 1, new: 2}
        await deployed.settle(later=3 * HOUR)
        assert deployed.counts == {old: 0, new: 2}

    live(story)


def test_the_spec_as_it_was_before_ends_the_trouble(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        await deployed.overdue(await deployed.offer())
        spec = {name: value for name, value in deployed.stored["spec"].items() if name != "batching"}
        deployed.harness.cluster.change(deployed.stored, spec=spec)
        await deployed.settle()
        assert (deployed.status["phase"], deployed.target) == ("Ready", old)
        assert deployed.condition("Stalled") is None

    live(story)


def test_a_person_approves_before_the_new_revision_gets_requests(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(approval="Manual")
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert (deployed.target, deployed.status["rollout"]["phase"]) == (old, "Paused")
        assert deployed.condition("Stalled") == ("True", "Paused")
        await deployed.command("approve/first")
        assert deployed.target == new
        another = await deployed.offer(2)
        await deployed.ready(another, 2)
        assert deployed.target == new, "an approval is for one revision"

    live(story)


@pytest.mark.parametrize("word", ["RollBack", "rollback", "roll-back"])
def test_a_person_goes_back_to_the_revision_before(deployed: Deployed, word: str) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.command(f"{word}/1")
        assert (deployed.counts, deployed.target) == ({old: 2, new: 2}, new)
        await deployed.ready(old, 2)
        assert (deployed.counts, deployed.target) == ({old: 2, new: 0}, old)
        assert deployed.status["stable"]["uri"] == "pvc://models/artifact"

    live(story)


def test_servers_that_fail_after_the_promotion_bring_the_old_revision_back(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.overdue(new)
        await deployed.ready(old, 2)
        assert (deployed.target, deployed.status["rollout"]["phase"]) == (old, "RolledBack")

    live(story)


def test_a_command_that_nobody_knows_is_named_once_with_those_that_there_are(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        await deployed.command("aprove/1")
        await deployed.settle(later=HOUR)
        (event,) = [event for event in deployed.harness.events if event.reason == "CommandUnknown"]
        assert event.message == (
            "annotation tuneloop.dev/rollout: 'aprove/1'; promote, abort, retry, skip, approve or roll-back is allowed, "
            "with a number of your own behind it; for example approve/1"
        )

    live(story)


def test_a_command_is_for_the_revision_that_it_names(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create(approval="Manual")
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.command(f"approve/1/{old}")
        assert deployed.target == old
        await deployed.command(f"approve/2/{new}")
        assert deployed.target == new

    live(story)


def test_only_so_many_earlier_revisions_are_kept(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create(revisionHistoryLimit=1, rollback={"window": "1m", "baking": "0s"})
        for number in (1, 2, 3):
            new = await deployed.offer(number)
            await deployed.ready(new, 2)
            await deployed.settle(later=HOUR)
        assert len(deployed.revisions) == 2
        assert deployed.target in deployed.revisions
        kept = {name.removeprefix("api-") for name in deployed.harness.cluster.of_kind("ConfigMap")}
        assert kept == set(deployed.revisions)

    live(story)


def test_a_revision_can_be_taken_back_when_the_job_that_made_the_model_is_gone(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.change(model={"fineTuneJobRef": {"name": "gone"}})
        assert deployed.condition("ModelAvailable") == ("False", "JobNotFound")
        assert (deployed.target, deployed.status["stable"]["revision"]) == (new, new)
        await deployed.command("roll-back/1")
        await deployed.ready(old, 2)
        assert (deployed.target, deployed.counts) == (old, {old: 2, new: 0})
        assert deployed.condition("ModelAvailable") == ("False", "JobNotFound")

    live(story)


def test_the_number_of_servers_follows_the_spec_without_a_roll_out(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        await deployed.change(replicas=5)
        assert deployed.counts == {first: 5}
        assert "scale" not in {verb for verb, _, _ in deployed.harness.cluster.writes}, "it is applied as a whole"
        await deployed.change(replicas=0)
        assert deployed.counts == {first: 0}
        assert deployed.status["rollout"]["phase"] == "Done"

    live(story)


def test_a_deployment_without_roll_outs_gets_them_without_a_new_server(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain)
        await deployed.settle()
        assert "rollout" not in deployed.status
        await deployed.change(rollout={"strategy": "Recreate"})
        assert (deployed.counts, deployed.target, deployed.status["phase"]) == ({first: 2}, first, "Ready")

    live(story)


def test_the_first_roll_out_knows_what_was_served_before(deployed: Deployed) -> None:
    async def story() -> None:
        first = await deployed.create()
        plain = {name: value for name, value in deployed.stored["spec"].items() if name != "rollout"}
        deployed.harness.cluster.change(deployed.stored, spec=plain)
        await deployed.settle()
        await deployed.change(rollout={"strategy": "Recreate"}, model={"uri": "pvc://models/another"})
        uris = {found["revision"]: found["uri"] for found in deployed.status["revisions"]}
        assert uris.pop(first) == "pvc://models/artifact"
        assert list(uris.values()) == ["pvc://models/another"]

    live(story)


def test_a_roll_out_in_which_nothing_is_left_to_do_costs_no_call(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        await deployed.settle(later=25 * HOUR)
        before = (len(deployed.harness.cluster.writes), deployed.harness.cluster.reads)
        await deployed.settle(later=HOUR)
        assert (len(deployed.harness.cluster.writes), deployed.harness.cluster.reads) == before

    live(story)
