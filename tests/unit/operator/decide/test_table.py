"""The table of transitions: what no cell may hold."""

from __future__ import annotations

import pytest

from tuneloop_operator.decide.fine_tune_job.state_machine import IRREVERSIBLE, TABLE, JobState, Transition
from tuneloop_operator.decide.fine_tune_job.transitions import TRANSITIONS
from tuneloop_operator.state.runs import Run


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(run, job_state) for run in Run for job_state in JobState}
    assert set(TRANSITIONS) == set(Transition)


def test_every_end_of_a_run_but_success_is_irreversible() -> None:
    ends = {Transition.FAIL, Transition.MARK_LOST, Transition.SUSPEND, Transition.REMOVE}
    assert ends == IRREVERSIBLE


@pytest.mark.parametrize("job_state", JobState)
@pytest.mark.parametrize("suspended", [False, True])
def test_a_finished_job_starts_nothing(job_state: JobState, suspended: bool) -> None:
    assert TABLE[Run.DONE, job_state][suspended] in {Transition.IDLE, Transition.REMOVE}


@pytest.mark.parametrize("run", [Run.PENDING, Run.ENDED])
@pytest.mark.parametrize("job_state", JobState)
def test_a_suspended_job_starts_nothing(run: Run, job_state: JobState) -> None:
    assert TABLE[run, job_state][1] is not Transition.CREATE
