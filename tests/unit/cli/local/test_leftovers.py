"""What a session leaves to the next one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingStatus
from tuneloop_cli.local.cluster.cluster import LocalCluster
from tuneloop_cli.local.kubelet.leftovers import clear_server_status
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered

if TYPE_CHECKING:
    from pathlib import Path

RUN = {
    "job": "reviews-1a2b3c4d",
    "trigger": "accuracy",
    "startedAt": "2026-03-02T12:00:00Z",
    "champion": "7d1f0b2c",
    "championDigest": "sha256:1",
    "recipe": "0123456789abcdef",
}
ENDED = RUN | {"outcome": "Promoted", "endedAt": "2026-03-02T13:00:00Z"}
CHOICE = {"job": "reviews-1a2b3c4d", "uri": "pvc://demo/new", "digest": "sha256:2", "revision": "9c02aaaa"}
PROMOTED = {
    "state": "Blocked",
    "blockedReason": "Cooldown",
    "message": "it waits",
    "choice": CHOICE,
    "history": [ENDED],
}
IN_FLIGHT = PROMOTED | {"state": "Training", "history": [ENDED, RUN | {"job": "reviews-5e6f7a8b"}]}
WITHOUT_THE_RUN = {"state": "Idle", "choice": CHOICE, "history": [ENDED]}


def between_sessions(folder: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a deployment after a session has ended."""
    cluster = LocalCluster(folder)
    deployment = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/old"}},
    }
    stored = asyncio.run(cluster.apply(deployment))
    asyncio.run(cluster.patch_status(stored, status))
    clear_server_status(cluster)
    (found,) = cluster.all("ModelDeployment")
    return dict(found["status"])


def test_servers_and_roll_outs_are_forgotten_and_the_stable_revision_stays(tmp_path: Path) -> None:
    stable = {"revision": "9c02aaaa", "digest": "sha256:2", "uri": "pvc://demo/new"}
    status = {"phase": "Ready", "ready": "1/1", "rollout": {"phase": "Done"}, "stable": stable | {"readyReplicas": 1}}
    assert between_sessions(tmp_path, status) == {"stable": stable}


@pytest.mark.parametrize(
    ("loop", "kept"),
    [
        pytest.param(PROMOTED, PROMOTED, id="the model that a run has chosen, and why"),
        pytest.param(IN_FLIGHT, WITHOUT_THE_RUN, id="no run that nobody goes on with"),
        pytest.param({"state": "Training", "history": [RUN]}, {"state": "Idle"}, id="not the only run either"),
        pytest.param({"state": "Idle"}, {"state": "Idle"}, id="no run at all"),
    ],
)
def test_the_loop_remembers_what_has_ended(tmp_path: Path, loop: dict[str, Any], kept: dict[str, Any]) -> None:
    found = between_sessions(tmp_path, {"retraining": loop})["retraining"]
    assert found == kept
    assert remembered(RetrainingStatus.from_wire(found)).run is None
