"""A model that a person has trained again, on this machine: the operator makes the job, the job runs here, and what it finds decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest

from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.local_story

SECONDS = 240
RETRAINING = {"enabled": True, "jobTemplateRef": {"name": "reviews"}, "data": [{"uri": f"pvc://{CLAIM}/new.csv"}]}


def test_a_run_trains_here_and_its_comparison_with_the_champion_decides(tmp_path: Path) -> None:
    async def story() -> None:
        workspace = Workspace(tmp_path)
        tiny_bert(workspace.claim / "model")
        workspace.write_rows("rows.csv", sentences(120))
        workspace.write_rows("new.csv", sentences(40, seed=5))
        job = job_manifest(resources={"nodes": 1, "gpusPerNode": 0}, training={"epochs": 1, "globalBatchSize": 16})
        rollout = {"strategy": "Recreate", "rollback": {"baking": "0s"}}
        deployment = deployment_manifest(rollout=rollout, retraining=RETRAINING)
        for manifest in (job, deployment):
            manifest["metadata"] |= {"namespace": "default"}
        async with LocalSession(workspace.path / ".tuneloop", ranks=1) as session:

            async def until(kind: Any, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
                found = await session.wait_for(
                    kind, name, until=lambda manifest: holds(manifest.get("status") or {}), seconds=SECONDS
                )
                return dict(found["status"])

            await session.submit(job, deployment)
            before = await until("ModelDeployment", "reviews", lambda status: "stable" in status)
            deployment["metadata"] |= {"annotations": {"tuneloop.dev/retrain": "1"}}
            await session.submit(deployment)
            after = await until("ModelDeployment", "reviews", lambda status: bool(ended(status)))
            (run,) = ended(after)
            trained = await until("FineTuneJob", run["job"], lambda status: status["phase"] == "Succeeded")
        verdict = trained["evaluation"]["comparison"]["verdict"]
        assert run["outcome"] == ("Promoted" if verdict == "Better" else "Rejected"), run
        assert run["dataDigest"] == trained["data"]["digest"]
        is_same = after["stable"]["revision"] == before["stable"]["revision"]
        assert is_same == (run["outcome"] == "Rejected")

    asyncio.run(story())


def ended(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in (status.get("retraining") or {}).get("history", ()) if "outcome" in run]
