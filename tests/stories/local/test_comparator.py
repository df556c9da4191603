"""A comparator beside a canary on one machine: it asks the real servers of both revisions, and the session's operator reads what it counts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from artifact import make_artifact
from comparator_process import send_all
from required import skip_or_fail
from tiny_models import tiny_bert
from waiting import eventually
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_api.contract.comparison import ComparisonCounts
from tuneloop_cli.local.session import LocalSession
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.local_story

SECONDS = 120
LABELS = ("negative", "neutral", "positive")
GOLDEN_SET = f"pvc://{CLAIM}/golden.jsonl"
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.01, "dryRun": True},
    {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.03, "dryRun": True},
]
"""On trial: two models that learned nothing differ on the rows."""
ROWS = 40


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    try:
        find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))
    made = Workspace(tmp_path)
    for name, seed in (("first", 0), ("second", 1)):
        make_artifact(made.claim / name, tiny_bert(made.claim / "model"), LABELS, seed=seed)
    row = json.dumps({"inputs": "a good film", "label": "positive"})
    (made.claim / "golden.jsonl").write_text(f"{row}\n" * ROWS)
    return made


def manifest(artifact: str) -> dict[str, Any]:
    steps = [{"weight": 50, "pause": True}, {"weight": 100}]
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        rollout={"strategy": "Canary", "steps": steps, "gates": GATES, "shadow": {"percent": 100}},
        evaluation={"goldenSet": {"uri": GOLDEN_SET}},
    )
    made["metadata"] |= {"namespace": "default"}
    return made


async def stored_once(session: LocalSession, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return await session.wait_for(
        "ModelDeployment", "reviews", until=lambda found: holds(found.get("status", {})), seconds=SECONDS
    )


def reason_of(status: dict[str, Any], gate: str) -> str:
    """Return what a gate says; empty where it says nothing yet."""
    gates = (status.get("rollout") or {}).get("gates") or ()
    return next((found["reason"] for found in gates if found["name"] == gate), "")


def counts_of(session: LocalSession, stored: dict[str, Any]) -> ComparisonCounts | None:
    reply = session._operator.store.comparison(stored["metadata"]["uid"])
    return ComparisonCounts.from_wire(reply.document) if reply is not None and reply.document else None


def test_the_sessions_operator_reads_what_a_comparator_counts_of_two_real_servers(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("first"))
        await stored_once(session, lambda status: status.get("phase") == "Ready")
        await session.submit(manifest("second"))
        stored = await stored_once(session, lambda status: (status.get("rollout") or {}).get("phase") == "Paused")

        async def replayed() -> ComparisonCounts | None:
            counts = counts_of(session, stored)
            return counts if counts and counts.golden and counts.golden.completed == 1 else None

        counts = await eventually(replayed, seconds=SECONDS, what="the golden set is replayed")
        assert (counts.stable, counts.canary) == tuple(
            stored["status"][role]["revision"] for role in ("stable", "canary")
        )
        last = counts.golden.last_pairs
        assert (last.rows, last.stable_failed, last.canary_failed, last.both_failed) == (ROWS, 0, 0, 0)
        (pod,) = [pod for pod in session.node.cluster.all("Pod") if "-comparator-" in pod["metadata"]["name"]]
        port = urlsplit(pod["metadata"]["annotations"]["tuneloop.dev/local-url"]).port
        assert await send_all(port, [b'{"inputs": "a good film"}'] * 25) == [202] * 25

        async def compared() -> bool:
            found = counts_of(session, stored)
            return found is not None and found.live.rows == 25

        await eventually(compared, seconds=SECONDS, what="25 copies are compared")
        judged = await stored_once(session, lambda status: "25 of " in reason_of(status, "errors"))
        assert reason_of(judged["status"], "golden").startswith("on trial: canary wrong answers")

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []
    assert "comparing" in workspace.tuneloop("logs", "reviews", "--stage", "comparator").stdout


async def whole(workspace: Workspace, story: Callable[[LocalSession], Any]) -> None:
    async with LocalSession(workspace.path / ".tuneloop") as session:
        try:
            await story(session)
        finally:
            await session.abort()
