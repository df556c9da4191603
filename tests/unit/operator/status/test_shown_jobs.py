"""Phase, workers and conditions that a FineTuneJob shows of its Job and pods. `test_readiness` has the conditions for tools."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import (
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
from stored_conditions import without_tools

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.state.observed import Blocker
from tuneloop_operator.status.fine_tune_job.job import shown

ENDED = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1", "ended": True}}}
PENDING = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1"}}}
NEXT = TRAINING | {"attempt": 2, "children": PREPARED | {"train": {"name": "r-a2", "uid": "u-a2"}}}
AGAIN = NEXT | {"restarts": {"total": 1}}
NO_RUN = {"attempt": 1, "children": PREPARED, "startTime": STAMP}
DONE = {"ended": True, "result": RESULT}
EXPORTING = TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1"} | DONE}}
LAST_PREPARE = {"startTime": STAMP, "children": {"prepare": {"name": "r-prepare", "uid": "u-prepare"}}}


def condition(type_: str, status: str = "True", *, reason: str = "R", message: str = "") -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": reason, "message": message, "lastTransitionTime": STAMP}


def status_of(before: dict[str, Any], *, stored: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, after: float = 0, **observation: Any) -> dict[str, Any]:  # fmt: skip
    """Return what is shown for this status, without the conditions for tools; stored: the status as stored, if it differs."""
    job = a_job(before if stored is None else stored, **(spec or {}))
    found = observed(job, **observation)
    return without_tools(shown(found, FineTuneJobStatus.from_wire(before), now=NOW + seconds(after)).to_wire())


def ready(shown_status: dict[str, Any]) -> tuple[str, str, str]:
    (found,) = [found for found in shown_status["conditions"] if found["type"] == "PodsReady"]
    return found["status"], found["reason"], found["message"]


JOB = gang_job()
UP = tuple(pod_of(JOB, index, ready=True, started=NOW + seconds(index)) for index in (0, 1))


def pair(**fields: Any) -> tuple[Any, ...]:
    """Return a gang whose first pod is ready, and whose second pod is like this."""
    return UP[0], pod_of(JOB, 1, **fields)


STARTING = ("False", "Starting", "not all pods are ready")


@pytest.mark.parametrize(
    ("job", "pods", "workers", "phase", "expected"),
    [
        (JOB, UP, "2/2", "Running", ("True", "AllReady", "all pods are ready")),
        (JOB, (), "0/2", "Queued", STARTING),
        (JOB, UP[:1], "1/2", "Queued", STARTING),
        (JOB, pair(), "1/2", "Queued", STARTING),
        (JOB, pair(phase="Succeeded"), "2/2", "Running", ("True", "AllReady", "all pods are ready")),
        (JOB, pair(ended=ended(0)), "2/2", "Running", ("True", "AllReady", "all pods are ready")),
        (JOB, pair(ended=ended(1)), "1/2", "Queued", STARTING),
        (JOB, pair(waiting="ContainerCreating"), "1/2", "Queued", STARTING),
        (JOB, pair(waiting="PodInitializing"), "1/2", "Queued", STARTING),
        (JOB, pair(waiting="CrashLoopBackOff"), "1/2", "Queued", ("False", "CrashLoopBackOff", "pod r-a1-1: CrashLoopBackOff")),
        (JOB, pair(waiting="ErrImagePull", waiting_message="no tag"), "1/2", "Queued", ("False", "ErrImagePull", "pod r-a1-1: ErrImagePull no tag")),
        (JOB, pair(unschedulable="0/1 nodes"), "1/2", "Queued", ("False", "Unschedulable", "pod r-a1-1: 0/1 nodes")),
        (gang_job(suspended=True), UP, "2/2", "Queued", ("False", "Queued", "the Job is suspended by a queue")),
        (gang_job(outcome="Failed"), UP, "2/2", "Restarting", ("False", "GangFailed", "a pod has failed; the others are stopped")),
        (gang_job(outcome="Succeeded"), pair(), "1/2", "Running", STARTING),
        (gang_job(refusal="exceeded quota"), UP[:1], "1/2", "Queued", ("False", "PodsRefused", "exceeded quota")),
        (gang_job(refusal="exceeded quota"), UP, "2/2", "Running", ("True", "AllReady", "all pods are ready")),
        (gang_job(started=NOW + seconds(60)), UP, "0/2", "Queued", STARTING),
        (gang_job(started=NOW + seconds(60), suspended=True), (), "0/2", "Queued", ("False", "Queued", "the Job is suspended by a queue")),
        (gang_job(2), UP, "0/2", "Queued", STARTING),
    ],
)  # fmt: skip
def test_what_a_gang_shows(job: Any, pods: tuple[Any, ...], workers: str, phase: str, expected: tuple[str, ...]) -> None:  # fmt: skip
    status = status_of(TRAINING, jobs=(job,), pods=pods)
    assert (status["workers"], status["phase"], ready(status)) == (workers, phase, expected)


@pytest.mark.parametrize(
    ("before", "observation", "phase"),
    [
        ({}, {}, "Pending"),
        ({"startTime": STAMP}, {}, "Preparing"),
        (LAST_PREPARE, {}, "Preparing"),
        (EXPORTING, {}, "Exporting"),
        (PENDING, {}, "Queued"),
        (ENDED, {}, "Restarting"),
        (AGAIN, {}, "Restarting"),
        (NEXT, {}, "Queued"),
        (AGAIN | {"attempt": 1, "children": TRAINING["children"]}, {}, "Queued"),
        ({}, {"spec": {"suspend": True}}, "Suspended"),
        (PENDING, {"spec": {"suspend": True}}, "Suspended"),
        (TRAINING, {"spec": {"suspend": True}}, "Queued"),
        (TRAINING | {"conditions": [condition("Failed")]}, {"spec": {"suspend": True}}, "Failed"),
        (TRAINING | {"conditions": [condition("Complete")]}, {}, "Succeeded"),
        (TRAINING | {"conditions": [condition("Complete", "False")]}, {}, "Queued"),
        (TRAINING, {"stored": TRAINING | {"phase": "Running"}}, "Running"),
        (TRAINING, {"stored": TRAINING | {"phase": "Queued"}}, "Queued"),
        (TRAINING, {"stored": NEXT | {"phase": "Running"}}, "Queued"),
        (TRAINING, {"stored": {}}, "Queued"),
    ],
)
def test_the_phase(before: dict[str, Any], observation: dict[str, Any], phase: str) -> None:
    assert status_of(before, **observation)["phase"] == phase


@pytest.mark.parametrize(
    ("before", "job", "pods", "since"),
    [
        (TRAINING, JOB, UP, "2026-01-01T12:00:01Z"),
        (TRAINING, JOB, tuple(pod_of(JOB, index, ready=True) for index in (0, 1)), "2026-01-01T12:01:00Z"),
        (TRAINING | {"runningSince": "2026-01-01T11:00:00Z"}, JOB, UP, "2026-01-01T11:00:00Z"),
        (TRAINING, JOB, UP[:1], None),
        (TRAINING, gang_job(suspended=True), UP, None),
        (TRAINING | {"nodes": 1}, JOB, UP[:1], "2026-01-01T12:01:00Z"),
        (ENDED, JOB, UP, None),
        (PENDING, JOB, UP, None),
        (EXPORTING, stage_job("export"), (pod_of(stage_job("export"), ready=True),), None),
    ],
)
def test_since_when_a_gang_runs(before: dict[str, Any], job: Any, pods: tuple[Any, ...], since: str | None) -> None:
    expected = "2026-01-01T12:00:00Z" if before.get("nodes") == 1 else since
    assert status_of(before, jobs=(job,), pods=pods, after=60).get("runningSince") == expected


def test_workers_are_shown_of_a_gang_that_was_created() -> None:
    assert status_of(ENDED)["workers"] == "0/2"
    assert status_of(TRAINING | {"nodes": 3})["workers"] == "0/3"
    for before in (PENDING, LAST_PREPARE, EXPORTING):
        assert "workers" not in status_of(before)


def test_without_a_gang_its_pods_are_not_ready() -> None:
    idle = ("False", "NoAttemptRuns", "")
    assert ready(status_of(ENDED)) == idle
    was_up = {"conditions": [condition("PodsReady", reason="AllReady")]}
    assert ready(status_of(NO_RUN | was_up, after=60)) == idle
    assert "conditions" not in status_of(NO_RUN)
    assert "conditions" not in status_of(PENDING)
    assert "conditions" not in status_of(LAST_PREPARE)


def test_a_started_job_stays_accepted() -> None:
    refused = {"conditions": [condition("Accepted", "False", reason="UnknownField", message="m")]}
    (accepted,) = status_of(LAST_PREPARE | refused)["conditions"]
    assert accepted == condition("Accepted", reason="Accepted")
    assert status_of(refused)["conditions"] == refused["conditions"]


@pytest.mark.parametrize("reason", ["NameConflict", "Refused"])
def test_a_blocker_is_shown_until_its_run_is_created_or_the_job_is_over(reason: Any) -> None:
    blocker = Blocker(reason=reason, message="it cannot be")
    blocked = status_of(NO_RUN, blocker=blocker)
    assert blocked["conditions"] == [condition(reason, reason=reason, message="it cannot be")]
    assert status_of(NO_RUN | {"conditions": blocked["conditions"]})["conditions"] == blocked["conditions"]
    for before in (TRAINING, TRAINING | {"conditions": [condition("Failed")]}):
        conditions = [*before.get("conditions", ()), *blocked["conditions"]]
        free = status_of(before | {"conditions": conditions})
        assert reason not in [found["type"] for found in free["conditions"]]
        again = status_of(before | {"conditions": conditions}, blocker=blocker)
        assert reason in [found["type"] for found in again["conditions"]]


def test_the_generation_that_was_observed_is_shown() -> None:
    job = a_job(TRAINING)
    job.metadata["generation"] = 7
    assert shown(observed(job), FineTuneJobStatus.from_wire(TRAINING), now=NOW).observed_generation == 7


def health(before: dict[str, Any] | None = None, *, grace: str = "1m", attempt: int = 1, **fields: Any) -> list[dict[str, Any]]:  # fmt: skip
    """Return the conditions besides PodsReady after a message with these fields."""
    message = ProgressMessage.from_wire({"stage": "train", "attempt": attempt, "sequence": 1, "sentAt": STAMP} | fields)
    status = status_of(TRAINING | (before or {}), progress=message, spec={"checkpoint": {"gracePeriod": grace}})
    return [found for found in status["conditions"] if found["type"] != "PodsReady"]


def test_a_grace_period_that_is_too_short_says_both_times() -> None:
    text = "a save takes 51 s, a pod that is stopped gets 60 s (checkpoint.gracePeriod): its last steps would be lost"
    late = [condition("GracePeriodTooShort", reason="SaveTakesLonger", message=text)]
    assert health(saveSecondsP95=51.0) == late
    assert health(saveSecondsP95=50.0) == []
    assert health({"conditions": late}) == late
    assert health({"conditions": late}, saveSecondsP95=50.0) == []


@pytest.mark.parametrize(("seconds_", "warned"), [(4.0, False), (4.1, True)])
def test_half_of_a_very_short_grace_period_may_be_used(seconds_: float, warned: bool) -> None:
    assert bool(health(grace="8s", saveSecondsP95=seconds_)) is warned


def test_the_words_of_findings_and_failed_saves_are_cut_to_4096_characters() -> None:
    finding = {"name": "OverFitting", "message": "m" * 5000, "advice": "a"}
    conditions = health(unsaved="e" * 5000, findings=[finding, finding | {"name": "LossSpike"}])
    assert conditions == [
        condition("CheckpointFresh", "False", reason="SaveFailed", message="e" * 4096),
        condition("TrainingHealthy", "False", reason="OverFitting", message="m" * 4096),
    ]
    well = [condition("CheckpointFresh", reason="Saved"), condition("TrainingHealthy", reason="NothingFound")]
    assert health({"conditions": conditions}, findings=[]) == well
    assert health({"conditions": conditions}, attempt=2) == conditions


def test_stale_progress_says_for_how_long() -> None:
    before = TRAINING | {"runningSince": STAMP}
    stale = status_of(before, after=600)["conditions"][-1]
    text = "no message from the training pods for 10 minutes"
    late = "2026-01-01T12:10:00Z"
    assert stale == condition("ProgressStale", reason="NoMessages", message=text) | {"lastTransitionTime": late}
    assert [found["type"] for found in status_of(before, after=599.9)["conditions"]] == ["PodsReady"]
    over = ENDED | {"runningSince": STAMP, "conditions": [stale]}
    assert [found["type"] for found in status_of(over, after=700)["conditions"]] == ["PodsReady"]
