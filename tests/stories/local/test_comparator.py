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
from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_cli.local.session import LocalSession
from tuneloop_operator.desired.model_deployment.comparator import (
    ComparedPair,
    comparator_config,
    comparator_config_map,
    comparator_deployment,
    comparator_service,
)
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.local_story

SECONDS = 120
LABELS = ("negative", "neutral", "positive")
SETTINGS = OperatorSettings(local=True, default_claim=CLAIM, server_image="none")
GOLDEN_SET = f"pvc://{CLAIM}/golden.jsonl"
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
        model={"uri": f"pvc://{CLAIM}/{artifact}"}, rollout={"strategy": "Canary", "steps": steps}
    )
    made["metadata"] |= {"namespace": "default"}
    return made


async def stored_once(session: LocalSession, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return await session.wait_for(
        "ModelDeployment", "reviews", until=lambda found: holds(found.get("status", {})), seconds=SECONDS
    )


async def compare(session: LocalSession, stored: dict[str, Any]) -> None:
    """Apply what the operator makes for a comparator of this pair."""
    owner = ModelDeployment.from_wire(stored)
    status = stored["status"]
    pair = ComparedPair(
        stable=status["stable"]["revision"],
        canary=status["canary"]["revision"],
        task="text-classification",
        labels=LABELS,
    )
    config = comparator_config(owner, pair, golden_set=GOLDEN_SET)
    for made in (
        comparator_config_map(owner, config),
        comparator_deployment(owner, config, golden_set=GOLDEN_SET, settings=SETTINGS),
        comparator_service(owner),
    ):
        await session.node.cluster.apply(made)


def counts_of(session: LocalSession, stored: dict[str, Any]) -> ComparisonCounts | None:
    reply = session._operator.store.comparison(stored["metadata"]["uid"])
    return ComparisonCounts.from_wire(reply.document) if reply is not None and reply.document else None


def test_the_sessions_operator_reads_what_a_comparator_counts_of_two_real_servers(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("first"))
        await stored_once(session, lambda status: status.get("phase") == "Ready")
        await session.submit(manifest("second"))
        stored = await stored_once(session, lambda status: (status.get("rollout") or {}).get("phase") == "Paused")
        await compare(session, stored)

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

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []
    assert "comparing" in workspace.tuneloop("logs", "reviews", "--stage", "comparator").stdout


async def whole(workspace: Workspace, story: Callable[[LocalSession], Any]) -> None:
    async with LocalSession(workspace.path / ".tuneloop") as session:
        try:
            await story(session)
        finally:
            await session.abort()
