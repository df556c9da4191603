"""The door of a session, through real sockets: `tuneloop rollout` steers a deployment that the session runs, and no other."""

from __future__ import annotations

import asyncio
import socket
import stat
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from local_node import play
from rollouts import in_step

from tuneloop_cli.commands.rollout import show_rollout, steer_rollout
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.door import open_door, steer
from tuneloop_cli.local.errors import FolderUnusable, NotInThisSession
from tuneloop_operator.decide.model_deployment.rollout.memory import written
from tuneloop_operator.decide.model_deployment.rollout.state import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tuneloop_cli.local.node import LocalNode

COMMAND = "tuneloop.dev/rollout"
PAUSED = in_step(1, phase=Phase.PAUSED)


def now() -> datetime:
    return datetime.now(UTC)


async def store(node: LocalNode, phase: Phase = Phase.PAUSED, *, name: str = "reviews") -> dict[str, Any]:
    """Store a deployment whose roll-out is in this phase."""
    created = await node.cluster.create(
        {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "model": {"uri": "pvc://models/reviews"},
                "rollout": {"strategy": "Canary", "steps": [{"weight": 5}, {"weight": 25, "pause": True}]},
            },
        }
    )
    rollout = written(in_step(1, phase=phase)).to_wire()
    status = {"rollout": rollout, "observedGeneration": created["metadata"]["generation"]}
    return await node.cluster.patch_status(created, status)


def with_door(folder: Path, story: Callable[[LocalNode], Awaitable[None]]) -> None:
    """Play a story inside a node with an open door."""

    async def whole(node: LocalNode) -> None:
        async with open_door(node, clock=now):
            await story(node)

    play(folder, whole)


def annotation(node: LocalNode) -> str:
    (deployment,) = node.cluster.all("ModelDeployment")
    return deployment["metadata"].get("annotations", {}).get(COMMAND, "")


def test_a_command_that_fits_becomes_the_annotation(tmp_path):
    async def story(node: LocalNode) -> None:
        await store(node)
        assert await asyncio.to_thread(steer, tmp_path, name="reviews", command="approve/1/r2") == ""
        assert annotation(node) == "approve/1/r2"

    with_door(tmp_path, story)


def test_a_command_that_does_not_fit_any_more_changes_nothing(tmp_path):
    async def story(node: LocalNode) -> None:
        await store(node, Phase.PROGRESSING)
        refused = await asyncio.to_thread(steer, tmp_path, name="reviews", command="approve/1/r2")
        assert refused.startswith("approve does not fit: the roll-out of r2 is Progressing; ")
        assert annotation(node) == ""

    with_door(tmp_path, story)


def test_a_command_waits_for_the_one_before_it(tmp_path):
    async def story(node: LocalNode) -> None:
        await store(node)
        assert await asyncio.to_thread(steer, tmp_path, name="reviews", command="approve/1/r2") == ""
        refused = await asyncio.to_thread(steer, tmp_path, name="reviews", command="abort/2/r2")
        assert refused == "the operator has not obeyed approve/1/r2 yet: try again"
        assert annotation(node) == "approve/1/r2"

    with_door(tmp_path, story)


def test_a_deployment_of_another_session_is_not_steered(tmp_path):
    async def earlier(node: LocalNode) -> None:
        await store(node)

    async def story(node: LocalNode) -> None:
        with pytest.raises(NotInThisSession, match="does not run reviews: it was started with other manifests"):
            await asyncio.to_thread(steer, tmp_path, name="reviews", command="approve/1/r2")
        assert annotation(node) == ""

    with_door(tmp_path, earlier)
    with_door(tmp_path, story)


def test_the_door_stays_open_after_what_is_no_command_and_is_closed_to_other_users(tmp_path):
    folder = tmp_path / ("long-" * 30)  # longer than the path of a socket may be

    async def story(node: LocalNode) -> None:
        await store(node)
        assert stat.S_IMODE((folder / "door").stat().st_mode) == 0o700
        assert (folder / "door" / "socket").is_socket()
        for line in (b"GET / HTTP/1.1\r\n", b"[]\n", b"{}\n", b"\xff\n", b""):
            await asyncio.to_thread(send, folder, line)
        assert await asyncio.to_thread(steer, folder, name="reviews", command="approve/1/r2") == ""

    with_door(folder, story)
    assert list((folder / "door").iterdir()) == []


def test_a_planted_folder_leaves_its_target_untouched(tmp_path):
    target, folder = tmp_path / "target", tmp_path / ".tuneloop"
    target.mkdir(mode=0o755)
    (target / "socket").write_text("precious")
    folder.mkdir()
    (folder / "door").symlink_to(target)
    with pytest.raises(FolderUnusable, match=r"door is no folder that can be used .*: remove it"):
        with_door(folder, store)
    assert (stat.S_IMODE(target.stat().st_mode), (target / "socket").read_text()) == (0o755, "precious")


def send(folder: Path, line: bytes) -> None:
    """Send a line that is no command; return once the door has closed the connection."""
    with socket.socket(socket.AF_UNIX) as link:
        short = folder.parent / "short"
        short.unlink(missing_ok=True)
        short.symlink_to(folder / "door")
        link.settimeout(20)
        link.connect(str(short / "socket"))
        link.sendall(line)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(1) == b""


def test_a_person_reads_what_followed_once_the_operator_has_obeyed(tmp_path, capsys):
    async def story(node: LocalNode) -> None:
        deployment = await store(node)
        asked = asyncio.create_task(asyncio.to_thread(steer_rollout, "approve", "reviews", folder=tmp_path, wait=True))
        while not (command := annotation(node)):
            assert not asked.done()
            await asyncio.sleep(0.01)
        (deployment,) = node.cluster.all("ModelDeployment")
        message = "step 3 of 3: 100 % to r2"
        rollout = written(in_step(2)).to_wire() | {"commands": [command]}
        conditions = [{"type": "Ready", "status": "False", "message": message}]
        await node.cluster.patch_status(deployment, {"rollout": rollout, "conditions": conditions})
        await asked
        assert capsys.readouterr().out == f"reviews: approve of r2: Progressing: {message}\n"

    with_door(tmp_path, story)


def test_nothing_is_asked_of_a_session_that_is_over(tmp_path):
    async def earlier(node: LocalNode) -> None:
        await store(node)

    play(tmp_path, earlier)
    with pytest.raises(TuneloopExit, match=r"no session runs in .*: tuneloop serve -f … starts it again") as ended:
        steer_rollout("approve", "reviews", folder=tmp_path, wait=True)
    assert ended.value.code is Exit.FAILED


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (
            partial(steer_rollout, "approve", wait=True),
            "kubectl annotate mdep reviws --overwrite tuneloop.dev/rollout=approve/",
        ),
        (partial(show_rollout, watch=False), "kubectl describe mdep reviws"),
    ],
    ids=["approve", "status"],
)
def test_a_name_that_is_wrong_is_answered_with_the_nearest_and_with_what_a_cluster_needs(tmp_path, ask, advice):
    async def story(node: LocalNode) -> None:
        await store(node)

    play(tmp_path, story)
    with pytest.raises(TuneloopExit) as ended:
        ask(name="reviws", folder=tmp_path)
    wanted = (
        f"no ModelDeployment 'reviws' in {tmp_path}; there: reviews (did you mean reviews?). On a cluster: {advice}"
    )
    assert ended.value.message.startswith(wanted)


def test_a_verb_that_does_not_fit_has_an_exit_code_of_its_own(tmp_path):
    async def story(node: LocalNode) -> None:
        await store(node, Phase.PROGRESSING)
        with pytest.raises(TuneloopExit, match="approve does not fit") as ended:
            await asyncio.to_thread(steer_rollout, "approve", "reviews", folder=tmp_path, wait=True)
        assert (ended.value.code, int(ended.value.code)) == (Exit.DOES_NOT_FIT, 4)

    with_door(tmp_path, story)


@pytest.mark.parametrize(("phase", "code"), [(Phase.DONE, 0), (Phase.ABORTED, 1), (Phase.ROLLED_BACK, 1)])
def test_a_watch_ends_with_the_roll_out_and_says_by_its_exit_code_how(tmp_path, capsys, phase, code):
    def watched() -> int:
        try:
            show_rollout("reviews", folder=tmp_path, watch=True)
        except TuneloopExit as ended:
            return int(ended.code)
        return 0

    async def story(node: LocalNode) -> None:
        await store(node, phase)
        assert await asyncio.to_thread(watched) == code
        assert f"phase:              {phase}" in capsys.readouterr().out

    with_door(tmp_path, story)
