"""The table of moves: what each cell may not say."""

from __future__ import annotations

import pytest

from tuneloop_operator.decide.fine_tune_job.job import _MOVES
from tuneloop_operator.decide.fine_tune_job.stages import LIVE_MOVES, TABLE, Move, Sight
from tuneloop_operator.state.runs import Run


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(run, sight) for run in Run for sight in Sight}
    assert set(_MOVES) == set(Move)


def test_no_verdict_but_success_rests_on_what_the_watch_told_alone() -> None:
    verdicts = {Move.FAIL, Move.LOSE, Move.CLOSE, Move.REMOVE}
    assert verdicts == LIVE_MOVES


@pytest.mark.parametrize("sight", Sight)
@pytest.mark.parametrize("suspended", [False, True])
def test_a_finished_job_starts_nothing(sight: Sight, suspended: bool) -> None:
    assert TABLE[Run.DONE, sight][suspended] in {Move.REST, Move.REMOVE}


@pytest.mark.parametrize("run", [Run.WANTED, Run.ENDED])
@pytest.mark.parametrize("sight", Sight)
def test_a_suspended_job_starts_nothing(run: Run, sight: Sight) -> None:
    assert TABLE[run, sight][1] is not Move.OPEN
