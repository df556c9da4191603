"""What the watch reported is not enough: nothing is written before all is read live."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import (
    FINISHED,
    NOW,
    PREPARED,
    SETTINGS,
    TRAINING,
    a_job,
    ended,
    gang_job,
    observed,
    pod_of,
    succeeded_pod,
    writes,
)

from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
from tuneloop_operator.state.observed import Blocker

RUNNING = TRAINING | {"runningSince": "2026-01-01T12:00:00Z", "phase": "Running"}
LOST_PREPARE = {key: value for key, value in TRAINING.items() if key != "attempt"}
DONE = TRAINING | FINISHED | {"completionTime": "2026-01-01T12:00:00Z"}
FAILED = gang_job(outcome="Failed", outcome_since=NOW)
PODS = tuple(pod_of(FAILED, index, phase="Failed", ended=ended(78)) for index in (0, 1))


@pytest.mark.parametrize(
    ("job", "facts", "line"),
    [
        pytest.param(
            a_job(RUNNING),
            {"jobs": (gang_job(),), "pods": tuple(pod_of(gang_job(), index) for index in (0, 1))},
            "apply Service r-train",
            id="children of a gang that are missing: the job may be gone",
        ),
        pytest.param(
            a_job(DONE, ttlSecondsAfterFinished=60),
            {},
            "delete FineTuneJob r",
            id="the end of a finished job's time: it may have been raised",
        ),
        pytest.param(
            a_job(LOST_PREPARE | {"children": {"prepare": {"name": "r-prepare", "ended": True}}}),
            {},
            "create Job r-prepare",
            id="a stage is started a second time: its first Job may be there",
        ),
        pytest.param(
            a_job(TRAINING | {"attempt": 2, "children": PREPARED | {"train": {"name": "r-a2", "uid": "u-a2"}}}),
            {
                "jobs": (gang_job(1), gang_job(2)),
                "pods": tuple(pod_of(gang_job(2), index) for index in (0, 1)),
                "present": {  # nothing else needs a live read
                    ("Service", "r-train"): rendezvous_service(a_job()),
                    ("NetworkPolicy", "r-train"): job_policy(a_job(), settings=SETTINGS),
                },
            },
            "delete Job r-a1",
            id="a gang that runs beside the current one",
        ),
    ],
)
def test_nothing_is_done_before_a_live_read(job: Any, facts: dict[str, Any], line: str) -> None:
    early, _ = writes(observed(job, **facts), after=100)
    late, _ = writes(observed(job, live=True, **facts), after=100)
    assert line not in early
    assert line in late


def test_no_gang_is_failed_before_a_live_read() -> None:
    assert writes(observed(a_job(RUNNING), jobs=(FAILED,), pods=PODS)) == ([], None)
    _, status = writes(observed(a_job(RUNNING), jobs=(FAILED,), pods=PODS, live=True))
    assert status is not None
    assert status["phase"] == "Failed"


def test_a_gang_that_succeeded_needs_no_live_read() -> None:
    job = gang_job(outcome="Succeeded", outcome_since=NOW)
    pods = tuple(succeeded_pod(job, index) for index in (0, 1))
    _, status = writes(observed(a_job(RUNNING), jobs=(job,), pods=pods))
    assert status is not None
    assert "result" in status["children"]["train"]


@pytest.mark.parametrize("job", [gang_job(1, deleting=True), FAILED, gang_job(1, outcome="Succeeded")])
def test_an_older_gang_that_is_over_or_going_is_left_alone(job: Any) -> None:
    status = TRAINING | {"attempt": 2, "children": PREPARED | {"train": {"name": "r-a2", "uid": "u-a2"}}}
    lines, _ = writes(observed(a_job(status), jobs=(job, gang_job(2)), live=True))
    assert "delete Job r-a1" not in lines


def test_the_number_of_an_attempt_that_was_refused_is_used_again() -> None:
    status = TRAINING | {"attempt": 2, "children": PREPARED | {"train": {"name": "r-a2"}}}
    blocker = Blocker(reason="Refused", message="Job r-a2: exceeded quota")
    _, written = writes(observed(a_job(status), blocker=blocker))
    assert written is not None
    assert "train" not in written["children"]
    lines, again = writes(observed(a_job(written), live=True))
    assert again is not None
    assert again["attempt"] == 2
    assert "create Job r-a2" in lines
