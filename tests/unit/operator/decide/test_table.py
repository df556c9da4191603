"""The table of moves: what each cell may not say."""

from __future__ import annotations

import pytest

from tuneloop_operator.decide.fine_tune_job.job import _MOVES
from tuneloop_operator.decide.fine_tune_job.stages import IRREVERSIBLE, TABLE, JobState, Transition
from tuneloop_operator.state.runs import Run


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(run, sight) for run in Run for sight in JobState}
    assert set(_MOVES) == set(Transition)


def test_no_verdict_but_success_rests_on_what_the_watch_told_alone() -> None:
    verdicts = {Transition.FAIL, Transition.MARK_LOST, Transition.SUSPEND, Transition.REMOVE}
    assert verdicts == IRREVERSIBLE


@pytest.mark.parametrize("sight", JobState)
@pytest.mark.parametrize("suspended", [False, True])
def test_a_finished_job_starts_nothing(sight: JobState, suspended: bool) -> None:
    assert TABLE[Run.DONE, sight][suspended] in {Transition.IDLE, Transition.REMOVE}


@pytest.mark.parametrize("run", [Run.PENDING, Run.ENDED])
@pytest.mark.parametrize("sight", JobState)
def test_a_suspended_job_starts_nothing(run: Run, sight: JobState) -> None:
    assert TABLE[run, sight][1] is not Transition.CREATE
