"""A deployment on this machine that looks worse and is not: a client garbles its texts and sends wrong labels, and Prometheus is killed. No run starts."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from bad_revisions import write_good
from broken_clients import GARBLED, SOUND, Clients
from scraped_numbers import require_prometheus
from tiny_models import sentences, tiny_bert
from waiting import until
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest, processes_of

from tuneloop_cli.commands.explain import explain
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.local_story, pytest.mark.full, pytest.mark.timeout(600)]

SECONDS = 240
OF = '{namespace="{{namespace}}",deployment="{{deployment}}",revision="{{revision}}"}'
SHARE_OF_WRONG = f"1 - sum(tuneloop:feedback_correct:all{OF}) / sum(tuneloop:feedback_labels:all{OF})"
WRONG = {"name": "wrong", "type": "promql", "query": SHARE_OF_WRONG, "threshold": 0.2, "for": "1s"}
RETRAINING = {"enabled": True, "jobTemplateRef": {"name": "reviews"}, "triggers": [WRONG]}


def loop_of(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = status.get("retraining") or {}
    return found


def is_blocked(status: dict[str, Any]) -> bool:
    loop = loop_of(status)
    return loop.get("blockedReason") == "DataQuality" and "one client" in loop["message"]


def test_broken_texts_poisoned_labels_and_a_killed_prometheus_start_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_prometheus()
    workspace = Workspace(tmp_path)
    write_good(workspace.claim / "first", tiny_bert(workspace.claim / "model"), [text for text, _ in sentences(60)])
    workspace.write_rows("rows.csv", sentences(40))
    template = job_manifest(resources={"nodes": 1, "gpusPerNode": 0}, suspend=True)
    deployment = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/first"},
        rollout={"strategy": "Recreate", "rollback": {"baking": "0s"}},
        feedback={},
        retraining=RETRAINING,
    )
    for manifest in (template, deployment):
        manifest["metadata"] |= {"namespace": "default"}

    async def story() -> None:
        async with LocalSession(workspace.path / ".tuneloop", ranks=1) as session:

            async def status_once(holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
                found = await session.wait_for(
                    "ModelDeployment",
                    "reviews",
                    until=lambda stored: bool(holds(stored.get("status") or {})),
                    seconds=SECONDS,
                )
                return dict(found["status"])

            await session.submit(template, deployment)
            served = await status_once(lambda status: "stable" in status and status.get("url"))
            await asyncio.to_thread(send, served["url"])
            blocked = await status_once(is_blocked)
            capsys.readouterr()
            explain("mdep/reviews", folder=workspace.path / ".tuneloop")
            printed = capsys.readouterr().out
            assert printed.startswith("reviews: Blocked (DataQuality): ")
            assert "texts in a wrong encoding are" in printed
            assert "one client sent 100% of the labels that say wrong" in printed
            conditions = {found["type"]: found for found in blocked["conditions"]}
            assert conditions["RetrainingBlocked"]["reason"] == "DataQuality"

            first = prometheus_of(workspace)
            os.kill(first, signal.SIGKILL)
            await asyncio.to_thread(until_another, workspace, first)
            after = loop_of(blocked)["triggers"][0]["since"]
            await status_once(lambda status: is_blocked(status) and loop_of(status)["triggers"][0]["since"] >= after)
            jobs = [job["metadata"]["name"] for job in session.node.cluster.all("FineTuneJob")]
            assert jobs == ["reviews"]
            assert "history" not in loop_of(await status_once(is_blocked))

    asyncio.run(story())
    assert processes_of(workspace.path) == []


def send(url: str) -> None:
    """Let sound clients ask and label, then the broken one."""
    clients = Clients(url)
    tokens = clients.ask(SOUND)
    for number in range(3):
        clients.label(tokens[number * 40 : number * 40 + 40], is_correct=True, client=f"client-{number}")
    tokens = clients.ask(GARBLED)
    clients.label(tokens[:100], is_correct=False, client="broken")
    clients.close()


def prometheus_of(workspace: Workspace) -> int:
    """Return the process whose data lie in the session's folder; 0 if there is none."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "prometheus" and process.cwd() == str(workspace.path / ".tuneloop" / "prometheus"):
                return process.pid
    return 0


def until_another(workspace: Workspace, first: int) -> None:
    """Wait until the session has started a Prometheus in the place of the one that was killed."""
    until(lambda: prometheus_of(workspace) not in {0, first}, seconds=60, what="another Prometheus")
