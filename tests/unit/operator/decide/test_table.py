"""The table of transitions: what each cell may not say, and that nothing which cannot be taken back is done on what the watch reported alone."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from observed_jobs import (
    FINISHED,
    NOW,
    PREPARED,
    TRAINING,
    a_job,
    ended,
    gang_job,
    observed,
    pod_of,
    succeeded_pod,
    writes,
)

from tuneloop_operator.decide.fine_tune_job.state_machine import TABLE, JobState, Transition
from tuneloop_operator.decide.fine_tune_job.transitions import TRANSITIONS
from tuneloop_operator.state.runs import Run

STATUSES: dict[Run, dict[str, Any]] = {
    Run.PENDING: TRAINING | {"children": PREPARED | {"train": {"name": "r-a1"}}},
    Run.CREATED: TRAINING,
    Run.ENDED: TRAINING | {"children": PREPARED | {"train": {"name": "r-a1", "uid": "u-a1", "ended": True}}},
    Run.DONE: TRAINING | FINISHED,
}
GANGS: dict[JobState, tuple[Any, ...]] = {
    JobState.ABSENT: (),
    JobState.ACTIVE: (gang_job(),),
    JobState.TERMINATING: (gang_job(deleting=True),),
    JobState.FAILING: (gang_job(outcome="Failed", outcome_since=NOW),),
    JobState.FAILED: (gang_job(outcome="Failed", outcome_since=NOW),),
    JobState.SUCCEEDED: (gang_job(outcome="Succeeded", outcome_since=NOW),),
}


def pods_in(state: JobState) -> tuple[Any, ...]:
    """Return the two pods of a gang in this state."""
    if not (jobs := GANGS[state]):
        return ()
    job = jobs[0]
    match state:
        case JobState.FAILED:
            return tuple(pod_of(job, index, phase="Failed", ended=ended(78)) for index in (0, 1))
        case JobState.SUCCEEDED:
            return tuple(succeeded_pod(job, index) for index in (0, 1))
    return tuple(pod_of(job, index, started=NOW) for index in (0, 1))


def decided(
    run: Run, state: JobState, *, live: bool, suspended: bool = False
) -> tuple[list[str], dict[str, Any] | None]:
    """Return what would be written for the gang of a job in this state."""
    job = a_job(STATUSES[run], suspend=suspended)
    return writes(observed(job, jobs=GANGS[state], pods=pods_in(state), live=live), after=1)


EVERY_CELL = list(product(Run, JobState, (False, True)))


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(product(Run, JobState))
    assert set(TRANSITIONS) == set(Transition)


@pytest.mark.parametrize(("run", "state", "suspended"), EVERY_CELL)
def test_no_gang_is_ended_on_what_the_watch_reported_alone(run: Run, state: JobState, suspended: bool) -> None:
    lines, status = decided(run, state, live=False, suspended=suspended)
    assert not [line for line in lines if line.startswith("delete")]
    assert (status or {}).get("phase") != "Failed" or run is Run.DONE
    if run in {Run.PENDING, Run.CREATED} and status is not None:
        was_ended = status["children"]["train"].get("ended", False)
        assert was_ended is (state is JobState.SUCCEEDED)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("suspended", [False, True])
def test_a_finished_job_starts_nothing(state: JobState, suspended: bool) -> None:
    lines, _ = decided(Run.DONE, state, live=True, suspended=suspended)
    assert not [line for line in lines if line.startswith(("create", "apply"))]


@pytest.mark.parametrize("run", [Run.PENDING, Run.ENDED])
@pytest.mark.parametrize("state", JobState)
def test_a_suspended_job_starts_nothing(run: Run, state: JobState) -> None:
    lines, _ = decided(run, state, live=True, suspended=True)
    assert not [line for line in lines if line.startswith("create")]


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.ABSENT])
@pytest.mark.parametrize("run", [Run.PENDING, Run.CREATED])
@pytest.mark.parametrize("suspended", [False, True])
def test_no_second_gang_is_started_while_the_first_is_there(run: Run, state: JobState, suspended: bool) -> None:
    lines, _ = decided(run, state, live=True, suspended=suspended)
    assert not [line for line in lines if line.startswith("create Job r-a")]


@pytest.mark.parametrize("run", [Run.PENDING, Run.CREATED])
def test_a_gang_that_is_being_deleted_is_waited_for(run: Run) -> None:
    """Its pods may still save a checkpoint: it is neither replaced nor counted as lost."""
    lines, status = decided(run, JobState.TERMINATING, live=True)
    assert lines == [] or all(line.startswith("apply") for line in lines)
    assert (status or {}).get("restarts") is None
    assert not (status or {}).get("children", {}).get("train", {}).get("ended")


@pytest.mark.parametrize("stage", ["prepare", "export"])
def test_a_stage_whose_job_is_being_deleted_is_not_created_a_second_time(stage: str) -> None:
    from observed_jobs import RESULT, stage_job

    done = {"prepare": PREPARED["prepare"], "train": {"name": "r-a1", "uid": "u-a1", "ended": True, "result": RESULT}}
    children = {name: child for name, child in done.items() if stage == "export"} | {stage: {"name": f"r-{stage}"}}
    job = stage_job(stage, deleting=True)
    lines, _ = writes(observed(a_job(TRAINING | {"children": children}), jobs=(job,), live=True))
    assert f"create Job r-{stage}" not in lines
