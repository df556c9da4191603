"""Revisions that must not take over, one after another beside the same good one: each is caught by the gate for its fault, under a steady load."""

from __future__ import annotations

import asyncio
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bad_revisions import (
    change_nothing_that_counts,
    grow_too_sure,
    lose_numbers,
    slow_down,
    swap_classes,
    write_changed,
    write_golden_set,
    write_good,
    wrong_but_for,
)
from rollouts_under_load import LIVE_TEXT, load
from routed_sessions import is_routed, rejected_after, require_envoy, status_once, whole
from scipy import stats
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.timeout(1500)]

WEIGHT = 20
"""The only text that clients ask for."""
CHANGES = {
    "swapped": swap_classes,
    "too-sure": grow_too_sure,
    "slow": slow_down,
    "damaged": lose_numbers,
    "crashing": change_nothing_that_counts,
}
CAUGHT_BY = {
    "swapped": "agreement",
    "too-sure": "calibration",
    "slow": "latency",
    "damaged": "errors",
    "wrong-unseen": "golden",
}
"""The gate that finds each. The last one is right for every client, and wrong on most of the golden set."""
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.15},
    {"name": "latency", "metric": "Latency", "margin": 0.9},
    {"name": "agreement", "metric": "Agreement", "margin": 0.3},
    {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.15},
    {"name": "calibration", "metric": "Calibration", "margin": 0.1},
]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    texts = [text for text, _ in sentences(250)]
    good = made.claim / "good"
    write_good(good, tiny_bert(made.claim / "model"), texts)
    write_golden_set(made.claim / "golden.jsonl", good, texts)
    for name, change in (CHANGES | {"wrong-unseen": wrong_but_for(good, LIVE_TEXT)}).items():
        write_changed(made.claim / name, good, change)
    return made


def manifest(artifact: str) -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={
            "strategy": "Canary",
            "steps": [{"weight": WEIGHT, "minRequests": 60}, {"weight": 100, "minRequests": 60}],
            "shadow": {"percent": 100},
            "gates": GATES,
        },
        evaluation={"goldenSet": {"uri": f"pvc://{CLAIM}/golden.jsonl"}},
    )
    made["metadata"] |= {"namespace": "default"}
    return made


def test_each_bad_revision_is_caught_for_its_fault_and_clients_notice_less_than_its_share(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("good"))
        url = (await status_once(session, is_routed(session)))["url"]
        for artifact, gate in CAUGHT_BY.items():
            async with load(url) as answers:
                rejected = await rejected_after(session, manifest(artifact))
            assert rejected["message"].startswith(f"gate {gate} Fail"), (artifact, rejected)
            assert answers.failed <= most_of_the_share(answers.outcomes.total()), (artifact, answers)
        async with load(url) as answers:
            limits = asyncio.create_task(limit_servers(session, workspace))
            rejected = await rejected_after(session, manifest("crashing"))
            limits.cancel()
        assert (rejected["reason"], answers.failed) == ("Broken", 0), (rejected, answers)

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []


def most_of_the_share(requests: int) -> int:
    """Return how many of the requests may meet the canary: Envoy draws for each of them, and one roll-out in ten thousand has more."""
    return int(stats.binom.ppf(1 - 1e-4, requests, WEIGHT / 100))


async def limit_servers(session: LocalSession, workspace: Workspace) -> None:
    """Let the kernel end each server of the canary after some requests: it may work for less than a second more once it answers. Until cancelled."""
    limited: set[int] = set()
    while True:
        status = await status_once(session, lambda status: (status.get("canary") or {}).get("readyReplicas"))
        servers = f"/reviews-{status['canary']['revision']}-"
        for process in processes_of(workspace.path):
            pid = int(process.split()[0])
            if "tuneloop_server" in process and servers in process and pid not in limited:
                limited.add(pid)
                with suppress(FileNotFoundError, ProcessLookupError):  # it ended a moment ago
                    limit = int(cpu_seconds(pid)) + 1
                    resource.prlimit(pid, resource.RLIMIT_CPU, (limit, limit))
        await asyncio.sleep(0.5)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
