"""Roll-outs of revisions whose servers do not come up, or fail later, on a cluster in memory."""

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
            assert deployed.condition("ModelAvailable") == ("False", "ModelLoadFailed")
        container = {"restartCount": 3, "state": {"waiting": {}}, "lastState": ended}
        await deployed.replace_pods(new, server_pod(new, 0, ready=False, **container))
        (rejected,) = deployed.status["rollout"]["rejected"]
        assert (rejected["reason"], rejected["failure"]) == ("Broken", "ModelLoadFailed")
        assert f"the servers of {new} fail: ModelLoadFailed: pod " in rejected["message"]
        assert (deployed.target, "failure" in deployed.status) == (old, False)
        assert [event.reason for event in deployed.harness.events].count("ModelLoadFailed") == 1
        await deployed.settle(later=2 * HOUR)
        assert deployed.condition("ModelAvailable") == ("False", "ModelLoadFailed"), "its servers are gone; it stays so"
        assert deployed.message("ModelAvailable") == rejected["message"]
        await deployed.command("retry/1")
        assert deployed.condition("ModelAvailable") == ("Unknown", "NotRead")

    live(story)


def test_an_artifact_that_was_served_is_available_after_a_person_rolled_it_back(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        assert deployed.target == new
        await deployed.command("roll-back/1")
        await deployed.ready(old, 2)
        assert deployed.target == old
        await deployed.ready(new, 0)
        await deployed.settle(later=2 * HOUR)
        assert deployed.condition("Ready") == ("False", "RolledBack")
        assert deployed.condition("ModelAvailable") == ("True", "ArtifactFound")

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


def test_servers_that_fail_after_the_promotion_bring_the_old_revision_back(deployed: Deployed) -> None:
    async def story() -> None:
        old = await deployed.create()
        new = await deployed.offer()
        await deployed.ready(new, 2)
        await deployed.overdue(new)
        await deployed.ready(old, 2)
        assert (deployed.target, deployed.status["rollout"]["phase"]) == (old, "RolledBack")

    live(story)


def test_an_artifact_that_no_server_has_read_is_not_available_because_another_was(deployed: Deployed) -> None:
    async def story() -> None:
        await deployed.create()
        assert deployed.condition("ModelAvailable") == ("True", "ArtifactFound")
        await deployed.change(model={"uri": "pvc://models/other"})
        await deployed.command("abort/1")
        assert deployed.condition("Ready") == ("False", "Aborted")
        assert deployed.condition("ModelAvailable") == ("Unknown", "NotRead")

    live(story)
