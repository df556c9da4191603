"""What the ranks of the test of power cuts do: save, save a step again, and remove, all of it recorded."""

from __future__ import annotations

from pathlib import Path

import tiny_training as tiny
from gang_checkpoints import opened
from system_calls import recorded

from tuneloop_trainer.checkpoint import TrainState
from tuneloop_trainer.engine.engine import Engine, start_process_group


def save_recorded(root: str, calls: str) -> list[str]:
    """Save steps 1, 2, 2 and 3, keep the newest one, and record it.

    Folders beside the job's tell how far it has come: `returned-0` that the checkpoints are open, `returned-N` that save N has returned.

    Returns the folders of the checkpoints.
    """
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    own_calls = Path(calls) / str(engine.rank)
    own_calls.mkdir(parents=True)
    paths = []
    with recorded(own_calls):
        checkpoints = opened(f"{root}/job/checkpoints", engine)
        mark(root, engine, 0)
        for number, step in enumerate((1, 2, 2, 3), start=1):
            tiny.train(engine, "net", start=number - 1, end=number)
            paths.append(checkpoints.save(TrainState(), step=step).path)
            mark(root, engine, number)
        checkpoints.keep(last=1, best=0, best_steps=[])
        checkpoints.close()
        engine.exchange(None)
    return paths


def mark(root: str, engine: Engine, number: int) -> None:
    if engine.rank == 0:
        (Path(root) / f"returned-{number}").mkdir()
