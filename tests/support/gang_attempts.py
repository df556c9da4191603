"""What happens to the gang of the job `reviews` in an `OperatorHarness`: it posts, fails, waits for nodes, and runs again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.progress import ProgressMessage

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


SAVED = {"step": 100, "path": "/tuneloop/claims/models/step-100"}


def run_config(harness: OperatorHarness, job: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(harness.cluster.of_kind("ConfigMap")[job]["data"]["run.json"])
    return config


def post(harness: OperatorHarness, *, attempt: int = 1, **fields: Any) -> None:
    message = ProgressMessage(
        stage="train", attempt=attempt, sequence=1, sent_at=harness.now.isoformat(), **({"start_step": 0} | fields)
    )
    assert harness.operator.progress("team-a", "reviews", message)


def termination_message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "stage": "train", "outcome": "Failed", "failureClass": kind} | fields


async def fail(
    harness: OperatorHarness, job: str, kind: str, *, code: int = 1, later: float = 700, **fields: Any
) -> None:
    """Let the first pod of a running gang fail, and start the next one."""
    harness.end_pod(f"{job}-0", exit_code=code, message=termination_message(kind, **fields))
    if f"{job}-1" in harness.cluster.of_kind("Pod"):
        harness.end_pod(f"{job}-1", exit_code=143)
    harness.end_job(job, "FailureTarget")
    await harness.settle()
    await harness.settle(later=later)


async def run_next(harness: OperatorHarness) -> str:
    name = f"reviews-a{harness.status['attempt']}"
    harness.start_pods(name)
    await harness.settle()
    return name


def unplaced(harness: OperatorHarness, job: str, *indices: int) -> None:
    """Let these pods of a Job find no node."""
    harness.start_pods(job)
    reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
    for index in indices:
        pod = harness.cluster.of_kind("Pod")[f"{job}-{index}"]
        harness.cluster.change(pod, spec={}, status={"phase": "Pending", "conditions": [reason]})
