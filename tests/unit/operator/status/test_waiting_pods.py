"""Why the pods of a run do not run, as the condition PodsReady names it: the same rule for every stage."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import (  # fmt: skip
    NOW,
    PREPARED,
    RESULT,
    STAMP,
    TRAINING,
    a_job,
    ended,
    gang_job,
    observed,
    pod_of,
    seconds,
    stage_job,
)
from stored_conditions import condition, without_tools

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.deadlines import refusals_in
from tuneloop_operator.status.fine_tune_job.job import shown

DONE = {"ended": True, "result": RESULT}
TRAINED = {"train": {"name": "r-a1", "uid": "u-a1"} | DONE}
STAGES: dict[str, tuple[dict[str, Any], Any, str]] = {
    # status, Job and phase of a run
    "prepare": (
        {"startTime": STAMP, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}},
        stage_job("prepare"),
        "Preparing",
    ),
    "train": (TRAINING, gang_job(), "Queued"),
    "export": (
        TRAINING | {"children": PREPARED | TRAINED | {"export": {"name": "r-export", "uid": "u-export"}}},
        stage_job("export"),
        "Exporting",
    ),
}
EVERY_STAGE = pytest.mark.parametrize("stage", STAGES)
CLAIM = 'persistentvolumeclaim "modles" not found'


def shown_status(stage: str, *pods: dict[str, Any], before: list[dict[str, Any]] | None = None, **job: Any) -> dict[str, Any]:  # fmt: skip
    """Return what is shown of a run with these pods. before: the conditions so far."""
    stored, run, _ = STAGES[stage]
    stored = stored | ({"conditions": before} if before else {})
    run = (gang_job if stage == "train" else lambda **fields: stage_job(stage, **fields))(**job) if job else run
    found = observed(
        a_job(stored), jobs=(run,), pods=tuple(pod_of(run, index, **pod) for index, pod in enumerate(pods))
    )
    return shown(found, FineTuneJobStatus.from_wire(stored), now=NOW).to_wire()


def ready(status: dict[str, Any]) -> tuple[str, str, str]:
    (found,) = [found for found in status["conditions"] if found["type"] == "PodsReady"]
    return found["status"], found["reason"], found["message"]


def name_of(stage: str) -> str:
    return f"{STAGES[stage][1].name}-0"


@EVERY_STAGE
@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        pytest.param({"unschedulable": CLAIM, "node": None}, "Unschedulable", CLAIM, id="a claim that is not there"),
        pytest.param({"waiting": "ImagePullBackOff", "waiting_message": "no tag"}, "ImagePullBackOff", "ImagePullBackOff no tag", id="a bad image"),
        pytest.param({"waiting": "ErrImageNeverPull"}, "ErrImageNeverPull", "ErrImageNeverPull", id="an image that is never pulled"),
        pytest.param({"waiting": "InvalidImageName"}, "InvalidImageName", "InvalidImageName", id="no image name"),
        pytest.param({"waiting": "RegistryUnavailable"}, "RegistryUnavailable", "RegistryUnavailable", id="no registry"),
        pytest.param({"waiting": "ImageInspectError"}, "ImageInspectError", "ImageInspectError", id="a damaged image"),
        pytest.param({"waiting": "CreateContainerConfigError", "waiting_message": "no key"}, "CreateContainerConfigError", "CreateContainerConfigError no key", id="a missing key"),
        pytest.param({"waiting": "CreateContainerConfigError", "waiting_message": 'secret "hub" not found'}, "CreateContainerConfigError", 'CreateContainerConfigError secret "hub" not found', id="a missing secret"),
        pytest.param({"waiting": "CreateContainerConfigError", "waiting_message": "couldn't find key token in Secret team-a/hub"}, "CreateContainerConfigError", "CreateContainerConfigError couldn't find key token in Secret team-a/hub", id="a secret without the key"),
        pytest.param({"waiting": "strange words"}, "Waiting", "strange words", id="no word that a condition may have"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_start_is_named_in_every_stage(stage: str, pod: dict[str, Any], reason: str, message: str) -> None:  # fmt: skip
    status = shown_status(stage, pod | {"phase": "Pending"})
    assert ready(status) == ("False", reason, f"pod {name_of(stage)}: {message}")
    assert status["phase"] == STAGES[stage][2]


@EVERY_STAGE
def test_a_run_without_pods_says_that_a_quota_refuses_them(stage: str) -> None:
    assert ready(shown_status(stage, refusal="exceeded quota")) == ("False", "PodsRefused", "exceeded quota")


@EVERY_STAGE
def test_a_run_whose_pods_start_or_run_after_all_says_so(stage: str) -> None:
    waited = [condition("PodsReady", true=False, reason="Unschedulable")]
    assert ready(shown_status(stage, {"waiting": "ContainerCreating"}, before=waited))[:2] == ("False", "Starting")
    pods = [{"ready": True}] * (2 if stage == "train" else 1)
    assert ready(shown_status(stage, *pods, before=waited)) == ("True", "AllReady", "all pods are ready")
    assert ready(shown_status(stage, suspended=True))[:2] == ("False", "Queued")


@pytest.mark.parametrize("stage", ["prepare", "export"])
@pytest.mark.parametrize("pod", [{"waiting": "ContainerCreating"}, {"ready": True}])
@pytest.mark.parametrize("before", [[], [condition("PodsReady", true=False, reason="NoAttemptRuns")]])
def test_a_stage_with_which_nothing_is_wrong_costs_no_write(stage: str, pod: Any, before: list[dict[str, Any]]) -> None:
    status = shown_status(stage, pod, before=before)
    assert without_tools(status).get("conditions", []) == before
    assert shown_status(stage, pod, before=status["conditions"]) == status


def test_a_failed_pod_of_a_stage_is_no_gang() -> None:
    pod = {"phase": "Failed", "ended": ended(1)}
    assert ready(shown_status("train", pod, outcome="Failed"))[1] == "GangFailed"
    for stage in ("prepare", "export"):
        assert ready(shown_status(stage, pod, outcome="Failed")) == ("False", "PodFailed", "the pod has failed")


def test_workers_are_those_of_a_gang_alone() -> None:
    assert shown_status("train", {"ready": True})["workers"] == "1/2"
    assert "workers" not in shown_status("prepare", {"ready": True})
    assert "workers" not in shown_status("export", {"ready": True})


@EVERY_STAGE
def test_refusals_are_read_while_a_pod_of_the_stage_is_missing(stage: str) -> None:
    before, job, _ = STAGES[stage]
    status = FineTuneJobStatus.from_wire(before)
    missing, whole = (
        observed(a_job(before), jobs=(job,), pods=tuple(pod_of(job, index, phase="Pending") for index in range(count)))
        for count in ((1, 2) if stage == "train" else (0, 1))
    )
    assert refusals_in(missing, status, now=NOW + seconds(4)) == 6.0
    assert refusals_in(whole, status, now=NOW + seconds(4)) is None
