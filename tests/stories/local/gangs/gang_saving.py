"""What the ranks of the tests of saving do: save, load, go on, and refuse."""

from __future__ import annotations

from pathlib import Path

import tiny_training as tiny
import torch
from gang_checkpoints import error_of, fingerprint, opened

from tuneloop_trainer.checkpoint import TrainState
from tuneloop_trainer.checkpoint.resume import committed
from tuneloop_trainer.engine.engine import Engine, start_process_group


def save_steps(folder: str, *, steps: list[int], zero_stage: int = 2) -> list[dict]:
    """Save after some steps; return the saved steps with the weights that the engine held then."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=zero_stage)
    checkpoints = opened(folder, engine)
    done, saved = 0, []
    for step in steps:
        tiny.train(engine, "net", start=done, end=step)
        done = step
        saved.append({**checkpoints.save(TrainState(), step=step).to_wire(), "held": fingerprint(engine)})
    return saved


def load_each(folders: list[str]) -> list[dict]:
    """Load the newest checkpoint of each folder; return its step, the skipped checkpoints, and the weights that the engine then holds."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    outcomes = []
    for folder in folders:
        checkpoints = opened(folder, engine, attempt=9)
        found = checkpoints.newest()
        if found is not None:
            checkpoints.load(found)
        outcomes.append(
            {
                "step": None if found is None else found.step,
                "skipped": checkpoints.skipped,
                "held": fingerprint(engine),
                "left": sorted(path.name for path in Path(folder).iterdir()),
            }
        )
    return outcomes


def go_on_from(folder: str) -> dict:
    """Go on from the newest checkpoint, save once more and keep two; return where it went on, and what is left."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine, attempt=2)
    found = checkpoints.newest()
    checkpoints.load(found)
    checkpoints.save(TrainState(), step=found.step + 1)
    checkpoints.keep(last=2, best=0, best_steps=[])
    checkpoints.close()
    engine.exchange(None)
    left = committed(Path(folder))
    return {"step": found.step, "skipped": checkpoints.skipped, "unreadable": checkpoints.unreadable, "left": left}


def look_for_newest(folder: str) -> str:
    """Return the error of a search for the newest checkpoint."""
    start_process_group()
    return error_of(opened(folder, tiny.engine_for("net", zero_stage=2), attempt=2).newest)


def save_beside_steps(folder: str) -> dict:
    """Begin a save, make more steps, and commit it; return what the engine held at the save, after the steps, and once it is loaded."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine)
    tiny.train(engine, "net", start=0, end=2)
    at_save = fingerprint(engine)
    checkpoints.begin(TrainState(), step=2)
    tiny.train(engine, "net", start=2, end=4)
    after = fingerprint(engine)
    checkpoints.finish()
    checkpoints.load(checkpoints.newest())
    return {"at save": at_save, "after": after, "loaded": fingerprint(engine)}


def fences(folder: str) -> dict:
    """Let runs of the same folder overlap; return what every run may still do."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=1)
    first = opened(folder, engine, attempt=1)
    first.save(TrainState(), step=1)
    second = opened(folder, engine, attempt=2)
    late = error_of(lambda: first.save(TrainState(), step=2))
    second.save(TrainState(), step=3)
    again = opened(folder, engine, attempt=2)
    replaced = error_of(lambda: second.save(TrainState(), step=4))
    again.save(TrainState(), step=4)
    lower = error_of(lambda: opened(folder, engine, attempt=1))
    names = sorted(path.name for path in Path(folder).iterdir())
    return {"late": late, "replaced": replaced, "lower": lower, "names": names, "newest": again.newest().path.name}


def refusals(folder: str) -> dict:
    """Return the errors of jobs with other settings, another base, or another model."""
    start_process_group()
    lora = tiny.engine_for("lora", zero_stage=1)
    opened(folder, lora).save(TrainState(), step=1)
    settings = error_of(lambda: opened(folder, lora, config_hash="other").newest())
    lora.close()
    torch.manual_seed(2)
    other = Engine(tiny.lora().train(), tiny.settings(zero_stage=1))
    base = error_of(lambda: opened(folder, other).newest())
    other.close()
    bf16 = tiny.engine_for("lora", zero_stage=1, precision="bf16")
    checkpoints = opened(folder, bf16)
    checkpoints.load(checkpoints.newest())
    rounding = checkpoints.exactness
    bf16.close()
    net = tiny.engine_for("net", zero_stage=1)
    found = checkpoints.newest()
    model = error_of(lambda: opened(folder, net).load(found))
    return {"settings": settings, "base": base, "model": model, "bf16": rounding}


def kept(folder: str, *, steps: list[int], last: int, best: int, best_steps: list[int]) -> list[str]:
    """Save steps, keep some, and save one step twice; return the folders that are there."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=0)
    checkpoints = opened(folder, engine)
    for step in steps:
        checkpoints.save(TrainState(), step=step)
        checkpoints.keep(last=last, best=best, best_steps=best_steps)
    checkpoints.save(TrainState(extra={"again": True}), step=steps[-1])
    state = checkpoints.load(checkpoints.find_step(steps[-1]))
    checkpoints.close()
    missing = error_of(lambda: checkpoints.load_step(999))
    return [*sorted(path.name for path in Path(folder).glob("step-*")), state.extra, missing]
