"""Whether a run without a whole checkpoint may start over, and which best checkpoints are kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tuneloop_api.contract.settings import CheckpointSettings
from tuneloop_trainer.errors import CheckpointLostError
from tuneloop_trainer.training.checkpoint_saver import best_to_keep
from tuneloop_trainer.training.resume import TrainProgress, check_nothing_is_lost, selection_of, state_of
from tuneloop_trainer.training.selection import Best, Patience, Selection

DAMAGED = [("step-00000060-a1", "MANIFEST.json is missing")]
QUARANTINED = ["step-00000060-a1.suspect"]


@pytest.mark.parametrize(
    ("expected", "damaged", "quarantined", "lost"),
    [
        pytest.param(None, [], [], False, id="nothing was saved"),
        pytest.param(None, DAMAGED, [], False, id="an accepted loss"),
        pytest.param(60, [], [], True, id="all is gone"),
        pytest.param(60, DAMAGED, [], True, id="all is damaged"),
        pytest.param(60, [], QUARANTINED, False, id="all was quarantined on purpose"),
        pytest.param(60, DAMAGED, QUARANTINED, True, id="one was quarantined, the one to resume from is damaged"),
    ],
)
def test_a_run_starts_over_only_where_nothing_is_lost(expected, damaged, quarantined, lost):
    def check() -> None:
        check_nothing_is_lost(Path("ckpt"), expected_step=expected, damaged=damaged, quarantined=quarantined)

    if lost:
        with pytest.raises(CheckpointLostError, match="ckpt: a checkpoint of step 60 was saved here"):
            check()
    else:
        check()


@pytest.mark.parametrize(
    ("published", "keep_best", "kept"),
    [("best", 0, 1), ("best", 1, 1), ("best", 3, 3), ("last", 0, 0), ("last", 2, 2)],
)
def test_the_best_checkpoint_is_kept_where_it_will_be_published(published, keep_best, kept):
    settings = SimpleNamespace(
        output=SimpleNamespace(checkpoint=published), checkpoint=CheckpointSettings(keep_best=keep_best)
    )
    assert best_to_keep(settings) == kept


@pytest.mark.parametrize(
    "selection",
    [
        pytest.param(Selection(), id="nothing was evaluated"),
        pytest.param(
            Selection(
                best=Best(step=4, metric="loss", value=0.1 + 0.2), patience=Patience(best_value=0.3, waited=2), best_steps=(4, 2), evaluated_step=6
            ),
            id="early stopping has waited twice",
        ),
    ],
)  # fmt: skip
def test_a_checkpoint_keeps_the_selection_as_it_was(selection):
    state = state_of(TrainProgress(step=7, selection=selection), steps_per_epoch=5)
    assert selection_of(type(state).from_wire(state.to_wire())) == selection
    assert state.data == {"epoch": 1, "stepOfEpoch": 2}
