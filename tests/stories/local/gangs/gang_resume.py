"""What the ranks of the resume tests do."""

from __future__ import annotations

from pathlib import Path

import tiny_training as tiny

from tuneloop_trainer.checkpoint import Checkpoints, TrainState
from tuneloop_trainer.engine.engine import start_process_group

STEPS, SAVED_AT = 8, 4


def train_saving(folder: str, *, model: str, cases: list[dict]) -> dict:
    """Train through, with a save on the way into a folder of each case; return the history of the steps after it."""
    start_process_group()
    histories = {}
    for case in cases:
        engine = tiny.engine_for(model, **case)
        checkpoints = Checkpoints(
            Path(folder, name_of(case)), engine=engine, config_hash="same", attempt=1, fingerprint={}
        )
        tiny.train(engine, model, start=0, end=SAVED_AT)
        checkpoints.save(TrainState(data={"epoch": 1.5}, extra={"note": [None, 2.0]}), step=SAVED_AT)
        histories[name_of(case)] = tiny.train(engine, model, start=SAVED_AT, end=STEPS)
        engine.close()
    return histories


def resume(*, model: str, cases: list[dict]) -> dict:
    """Go on from saved checkpoints in new engines; each case names its folder as `saved`."""
    start_process_group()
    outcomes = {}
    for case in cases:
        saved, changes = case["saved"], {key: value for key, value in case.items() if key != "saved"}
        engine = tiny.engine_for(model, **changes)
        checkpoints = Checkpoints(Path(saved), engine=engine, config_hash="same", attempt=2, fingerprint={})
        found = checkpoints.newest()
        state = checkpoints.load(found)
        history = tiny.train(engine, model, start=found.step, end=STEPS)
        outcomes[name_of(changes)] = {
            "history": history, "data": state.data, "best": state.best, "extra": state.extra, "exactness": checkpoints.exactness,
        }  # fmt: skip
        engine.close()
    return outcomes


def go_on(folder: str, *, zero_stage: int, until: int, attempt: int) -> dict:
    """Go on from the newest checkpoint of a folder in this gang, if there is one, and save at the end."""
    start_process_group()
    engine = tiny.engine_for("bert", zero_stage=zero_stage)
    checkpoints = Checkpoints(Path(folder), engine=engine, config_hash="same", attempt=attempt, fingerprint={})
    found = checkpoints.newest()
    start = 0
    if found is not None:
        checkpoints.load(found)
        start = found.step
    history = tiny.train(engine, "bert", start=start, end=until)
    checkpoints.save(TrainState(), step=until)
    return {"history": history, "exactness": checkpoints.exactness}


def name_of(case: dict) -> str:
    """Return the name of a case, for example `zero_stage=2,precision=bf16`."""
    return ",".join(f"{key}={value}" for key, value in case.items())
