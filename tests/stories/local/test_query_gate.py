"""A gate with a query on one machine: its Prometheus stands still in the middle of a roll-out, and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from bad_revisions import change_nothing_that_counts, write_changed, write_good
from demo_rollout import Load
from routed_sessions import is_routed, require_envoy, status_once, whole
from scraped_numbers import require_prometheus
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

if TYPE_CHECKING:
    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.full, pytest.mark.timeout(900)]

TEXTS = [text for text, _ in sentences(60)]
FAILED = """
sum(rate(tuneloop_requests_total{namespace="{{namespace}}", deployment="{{deployment}}", revision="{{revision}}", code=~"5.."}[1m])) or vector(0)
"""
GATE = {"name": "failed", "query": FAILED.strip(), "compare": "Absolute", "margin": 0.5, "errorLimit": 2}
STEPS = [{"weight": 50, "minDuration": "10s"}, {"weight": 100, "minDuration": "10s"}]


def manifest(artifact: str, *, command: str = "") -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={"strategy": "Canary", "steps": STEPS, "gates": [GATE], "rollback": {"baking": "0s"}},
    )
    made["metadata"] |= {"namespace": "default"}
    made["metadata"] |= {"annotations": {"tuneloop.dev/rollout": command}} if command else {}
    return made


def test_a_prometheus_that_stands_still_holds_a_roll_out_and_a_person_goes_on_once_it_is_back(tmp_path):
    require_envoy()
    require_prometheus()
    workspace = Workspace(tmp_path)
    first = workspace.claim / "first"
    write_good(first, tiny_bert(workspace.claim / "model"), TEXTS)
    write_changed(workspace.claim / "second", first, change_nothing_that_counts)

    async def story(session: LocalSession) -> None:
        await session.submit(manifest("first"))
        stable = await status_once(session, is_routed(session))
        load = Load(stable["url"], TEXTS, per_second=20)
        sending = asyncio.create_task(load.run())
        try:
            await session.submit(manifest("second"))
            await status_once(session, lambda status: weight_of_the_canary(status) == 50)
            prometheus = prometheus_of(workspace)
            os.kill(prometheus, signal.SIGSTOP)
            held = await status_once(session, lambda status: phase(status) == "Held")
            assert weight_of_the_canary(held) == 0
            assert "failed" in held["rollout"]["message"]
            assert not held["rollout"].get("rejected")
            assert held["stable"]["revision"] == stable["stable"]["revision"]
            os.kill(prometheus, signal.SIGCONT)
            await session.submit(manifest("second", command="retry/1"))
            done = await status_once(session, lambda status: phase(status) == "Done")
            assert done["stable"]["revision"] != stable["stable"]["revision"]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        assert load.failed == 0, load.answers

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []


def prometheus_of(workspace: Workspace) -> int:
    """Return the process whose data lie in the session's folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "prometheus" and process.cwd() == str(workspace.path / ".tuneloop" / "prometheus"):
                return process.pid
    raise AssertionError("no Prometheus runs")


def phase(status: dict[str, Any]) -> str:
    found: str = (status.get("rollout") or {}).get("phase", "")
    return found


def weight_of_the_canary(status: dict[str, Any]) -> int:
    rollout = status.get("rollout") or {}
    weights = {share["revision"]: share["weight"] for share in rollout.get("split", {}).get("weights", ())}
    return weights.get(rollout.get("canary") or "", 0)
