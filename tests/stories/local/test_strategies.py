"""BlueGreen, Shadow and `capacity: Replace` with real servers, one roll-out after another under a steady load: no request is lost, and no client meets a revision before its time."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from bad_revisions import (
    change_nothing_that_counts,
    lose_numbers,
    swap_classes,
    write_changed,
    write_good,
    write_own_answers,
)
from rollout_record import recording
from rollouts_under_load import Deployed, Story, tell_under_load
from routed_sessions import rejected_after, require_envoy, status_once, whole
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_cli.local.cluster.pod_objects import is_ready
from tuneloop_cli.local.processes.processes import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.timeout(900)]

COPIES = 20
"""That must be compared before a client meets a revision."""
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.4},
    {"name": "agreement", "metric": "Agreement", "margin": 0.45},
]
"""With margins that so many copies can decide: `tuneloop validate` says which."""
CHANGES = {
    "second": change_nothing_that_counts,
    "swapped": swap_classes,
    "damaged": lose_numbers,
}


@pytest.fixture(scope="module")
def claim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A claim with a good model, another that answers as it does, and two bad ones."""
    require_envoy()
    folder: Path = tmp_path_factory.mktemp("claim")
    texts = [text for text, _ in sentences(60)]
    write_good(folder / "first", tiny_bert(folder / "model"), texts)
    write_own_answers(folder / "golden.jsonl", folder / "first", texts)
    for name, change in CHANGES.items():
        write_changed(folder / name, folder / "first", change)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, claim: Path) -> Workspace:
    made = Workspace(tmp_path)
    made.claim.parent.mkdir(parents=True)
    made.claim.symlink_to(claim)
    return made


def manifest(artifact: str, *, replicas: int = 1, **rollout: Any) -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        replicas=replicas,
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={"rollback": {"baking": "0s"}} | rollout,
    )
    if rollout["strategy"] == "Recreate":
        made["spec"]["evaluation"] = {"goldenSet": {"uri": f"pvc://{CLAIM}/golden.jsonl"}}
    made["metadata"] |= {"namespace": "default"}
    return made


COPIED = {"gates": GATES, "shadow": {"percent": 100, "minRequests": COPIES}}
BLUE_GREEN = COPIED | {
    "strategy": "BlueGreen",
    "approval": "Manual",
    "rollback": {"baking": "1h", "keepReplicas": 1},
}
SHADOW = COPIED | {"strategy": "Shadow"}
SHADOW_WITH_A_STEP = SHADOW | {"steps": [{"weight": 50, "minRequests": COPIES}]}
REPLACE = {
    "strategy": "Canary",
    "capacity": "Replace",
    "gates": GATES,
    "shadow": {"percent": 100},
    "steps": [{"weight": 50, "minRequests": COPIES}, {"weight": 100, "minRequests": COPIES}],
}
RECREATE = {"strategy": "Recreate", "gates": [{"name": "golden", "metric": "GoldenAccuracy", "margin": 0.3}]}


def tell(workspace: Workspace, story: Story, *, replicas: int = 1, **rollout: Any) -> None:
    """Tell a story of a deployment that begins with `first` and this roll-out."""
    tell_under_load(workspace, story, first=manifest("first", replicas=replicas, **rollout))
    assert processes_of(workspace.path) == []


def test_no_client_meets_a_revision_of_blue_green_or_shadow_before_its_copies_have_passed(workspace: Workspace) -> None:
    async def story(deployed: Deployed, first: str) -> None:
        await blue_green_rejects_a_bad_one(deployed, first)
        await blue_green_goes_over_at_once_and_back(deployed, first)
        await shadow_rejects_a_bad_one(deployed, first)
        await shadow_goes_on_by_its_steps(deployed, first)

    tell(workspace, story, **BLUE_GREEN)


async def blue_green_rejects_a_bad_one(deployed: Deployed, first: str) -> None:
    bad, message = await deployed.rejection_of(manifest("swapped", **BLUE_GREEN))
    assert message.startswith("gate agreement Fail"), message
    assert (deployed.record.shares, deployed.has_answered(bad)) == ([{first: 100}], False)


async def blue_green_goes_over_at_once_and_back(deployed: Deployed, first: str) -> None:
    """A person approves, with the numbers of the copies; and goes back to servers that still run."""
    deployed.record.begin()
    await deployed.offer(manifest("second", **BLUE_GREEN))
    paused = await deployed.until(lambda status: status["rollout"]["phase"] == "Paused")
    second = paused["canary"]["revision"]
    assert {gate["name"]: gate["verdict"] for gate in paused["rollout"]["gates"]} == {
        "errors": "Pass",
        "agreement": "Pass",
    }
    assert deployed.record.compared >= COPIES
    assert not deployed.has_answered(second)
    await deployed.steer("approve")
    assert await deployed.until_stable(beside=first) == second
    await deployed.until_it_answers(second)
    await deployed.steer("roll-back")
    back = await deployed.until(lambda status: status["rollout"]["phase"] == "RolledBack")
    await deployed.until_it_answers(first)
    assert back["stable"]["revision"] == first
    assert deployed.record.shares == [{first: 100}, {second: 100}, {first: 100}]
    assert deployed.record.servers == [{first: 1}, {first: 1, second: 1}, {first: 1}]


async def shadow_rejects_a_bad_one(deployed: Deployed, first: str) -> None:
    deployed.record.begin()
    bad, message = await deployed.rejection_of(manifest("damaged", **SHADOW_WITH_A_STEP))
    assert message.startswith("gate errors Fail"), message
    assert (deployed.record.shares, deployed.has_answered(bad)) == ([{first: 100}], False)


async def shadow_goes_on_by_its_steps(deployed: Deployed, first: str) -> None:
    """Another strategy is another spec: the revision that a person took back is offered again."""
    deployed.record.begin()
    await deployed.offer(manifest("second", **SHADOW_WITH_A_STEP))
    second = await deployed.until_stable(beside=first)
    assert deployed.record.compared >= COPIES
    assert deployed.record.shares == [{first: 100}, {second: 50, first: 50}, {second: 100}]


def test_two_servers_are_replaced_one_by_one_and_a_bad_revision_gives_its_room_back(workspace: Workspace) -> None:
    async def story(deployed: Deployed, first: str) -> None:
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        deployed.record.begin()
        bad, message = await deployed.rejection_of(manifest("swapped", replicas=2, **REPLACE))
        assert message.startswith("gate agreement Fail"), message
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        assert deployed.record.shares == [{first: 100}, {bad: 50, first: 50}, {first: 100}]
        assert deployed.record.servers == [{first: 2}, {first: 1, bad: 1}, {first: 2}]
        deployed.record.begin()
        await deployed.offer(manifest("second", replicas=2, **REPLACE))
        second = await deployed.until_stable(beside=first)
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        assert deployed.record.shares == [{first: 100}, {second: 50, first: 50}, {second: 100}]
        assert deployed.record.servers == [{first: 2}, {first: 1, second: 1}, {second: 2}]
        assert deployed.record.most_ready == 2

    tell(workspace, story, replicas=2, **REPLACE)


@pytest.mark.full
def test_a_shadow_that_a_person_aborts_is_offered_again_and_goes_over_after_its_copies(workspace: Workspace) -> None:
    async def story(deployed: Deployed, first: str) -> None:
        await deployed.offer(manifest("second", **SHADOW | {"shadow": {"percent": 100, "minRequests": 1_000_000}}))
        await deployed.until(lambda status: (status["rollout"].get("requests") or 0) >= COPIES)
        await deployed.steer("abort")
        aborted = await deployed.until(lambda status: status["rollout"]["phase"] == "Aborted")
        (rejected,) = aborted["rollout"]["rejected"]
        assert (rejected["reason"], deployed.has_answered(rejected["revision"])) == ("Aborted", False)
        assert deployed.record.shares == [{first: 100}]
        deployed.record.begin()
        await deployed.offer(manifest("second", **SHADOW))
        second = await deployed.until_stable(beside=first)
        assert (rejected["revision"], deployed.record.compared >= COPIES) == (second, True)
        assert deployed.record.shares == [{first: 100}, {second: 100}]

    tell(workspace, story, **SHADOW)


@pytest.mark.full
def test_blue_green_in_place_of_two_servers_goes_over_with_one_and_a_second_follows(workspace: Workspace) -> None:
    rollout = COPIED | {"strategy": "BlueGreen", "capacity": "Replace"}

    async def story(deployed: Deployed, first: str) -> None:
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        deployed.record.begin()
        await deployed.offer(manifest("second", replicas=2, **rollout))
        second = await deployed.until_stable(beside=first)
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        assert deployed.record.compared >= COPIES
        assert deployed.record.shares == [{first: 100}, {second: 100}]
        assert deployed.record.servers == [{first: 2}, {first: 1, second: 1}, {second: 2}]
        assert deployed.record.most_ready == 2

    tell(workspace, story, replicas=2, **rollout)


@pytest.mark.full
def test_a_canary_in_place_of_a_server_that_crashes_again_and_again_gives_its_room_back(workspace: Workspace) -> None:
    async def story(deployed: Deployed, first: str) -> None:
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        deployed.record.begin()
        killing = asyncio.create_task(kill_servers_beside(first, deployed))
        canary, message = await deployed.rejection_of(manifest("second", replicas=2, **REPLACE))
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await deployed.until(lambda status: status["stable"].get("readyReplicas") == 2)
        assert {canary: 50, first: 50} in deployed.record.shares, message
        assert deployed.record.servers == [{first: 2}, {first: 1, canary: 1}, {first: 2}]
        assert deployed.record.most_ready == 2

    tell(workspace, story, replicas=2, **REPLACE)


async def kill_servers_beside(stable: str, deployed: Deployed) -> None:
    """Kill each server of another revision once clients have met it, again and again, until cancelled."""
    node = deployed.session.node
    while True:
        status = await deployed.until(lambda status: (status.get("canary") or {}).get("readyReplicas"))
        await deployed.until_it_answers(status["canary"]["revision"])
        labels = {pod["metadata"]["uid"]: pod["metadata"]["labels"] for pod in node.cluster.all("Pod") if is_ready(pod)}
        servers = {uid for uid, found in labels.items() if found.get("tuneloop.dev/revision", stable) != stable}
        for process in recorded(node.folders.root):
            if process.pod_uid in servers:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.full
def test_recreate_rejects_a_bad_revision_by_the_golden_set_before_a_client_can_meet_it(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        record = recording(session)
        await session.submit(manifest("first", **RECREATE))
        first = await status_once(session, lambda status: status.get("phase") == "Ready")
        rejected = await rejected_after(session, manifest("swapped", **RECREATE))
        assert rejected["message"].startswith("gate golden Fail"), rejected
        assert record.shares == [{first["stable"]["revision"]: 100}]
        await session.submit(manifest("second", **RECREATE))
        before = {first["stable"]["revision"], rejected["revision"]}
        await status_once(session, lambda status: status["stable"]["revision"] not in before)

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []
