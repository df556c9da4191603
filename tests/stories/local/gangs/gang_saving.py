"""What the ranks of the tests of saving do."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import tiny_training as tiny
import torch

from tuneloop_api.contract.settings import CheckpointSettings
from tuneloop_trainer import checkpoint as package
from tuneloop_trainer.checkpoint import Checkpoints, TrainState
from tuneloop_trainer.checkpoint.resume import committed
from tuneloop_trainer.engine.engine import Engine, start_process_group
from tuneloop_trainer.errors import ConfigError, StageError, StorageError
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
from tuneloop_trainer.training.checkpoint_saver import CheckpointSaver
from tuneloop_trainer.training.listeners.listener import Listener
from tuneloop_trainer.training.listeners.listeners import Listeners
from tuneloop_trainer.training.resume import TrainProgress
from tuneloop_trainer.training.selection import Best, Selection

PACKAGE = str(Path(package.__file__).parent)


def opened(folder: str, engine: Engine, *, attempt: int = 1, config_hash: str = "same") -> Checkpoints:
    """Return the checkpoints of a folder."""
    return Checkpoints(
        Path(folder), engine=engine, config_hash=config_hash, attempt=attempt, fingerprint={"machine": "here"}
    )


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


def fingerprint(engine: Engine) -> dict[str, str]:
    """Return the exact weights by name, on rank 0."""
    return {name: value.numpy().tobytes().hex()[:4000] for name, value in engine.trainable_state().items()}


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
    engine.barrier()
    left = committed(Path(folder))
    return {"step": found.step, "skipped": checkpoints.skipped, "unreadable": checkpoints.unreadable, "left": left}


def look_for_newest(folder: str) -> str:
    """Return the error of a search for the newest checkpoint."""
    start_process_group()
    return error_of(opened(folder, tiny.engine_for("net", zero_stage=2), attempt=2).newest)


def save_and_die(folder: str, *, seed: int | None, victim: int) -> int:
    """Save step 1, and step 2 with a removal of the first; the victim is killed at a random line on the way.

    Without a seed nobody is killed, and the number of lines that the victim runs is returned.
    """
    rank, _ = start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine)
    tiny.train(engine, "net", start=0, end=1)
    checkpoints.save(TrainState(), step=1)
    tiny.train(engine, "net", start=1, end=2)
    lines = 0
    last = (
        None
        if seed is None
        else random.Random(seed).randrange(1, int(Path(folder, "..", f"lines-{victim}").read_text()))
    )

    def count(frame, event: str, _argument):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        lines += event == "line"
        if last is not None and lines >= last:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    if rank == victim:
        threading.settrace(count)  # the file is written in a thread
        sys.settrace(count)
    checkpoints.save(TrainState(), step=2)
    checkpoints.keep(last=1, best=0, best_steps=[])
    checkpoints.close()
    sys.settrace(None)
    threading.settrace(None)
    return lines


def save_without_space(folder: str) -> dict:
    """Save while no file of this process may grow beyond some bytes; return what is raised, and what is left."""
    rank, _ = start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine)
    checkpoints.save(TrainState(), step=1)
    before = files_of(folder)
    engine.barrier()
    message = ""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        checkpoints.save(TrainState(), step=2)
    except StorageError as error:
        message = error.message
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    engine.barrier()
    after = files_of(folder)
    engine.barrier()
    checkpoints.save(TrainState(), step=2)
    return {"message": message, "before": before, "after": after, "then": files_of(folder)}


def save_on_full_volume(folder: str) -> dict:
    """Save until a volume is full; return what is raised, and what is left."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine)
    for step in range(1, 50):
        before = files_of(folder)
        engine.barrier()  # the other rank may begin to write
        try:
            checkpoints.save(TrainState(), step=step)
        except StorageError as error:
            found = checkpoints.newest()
            return {
                "message": error.message,
                "unchanged": files_of(folder) == before,
                "step": step,
                "newest": found.step,
            }
    return {}


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


def lose_the_best_once(folder: str) -> dict:
    """Let the save of the best step fail, and the next succeed; return what was reported, what was saved, and what the best one holds."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=1)
    checkpoints = opened(folder, engine)
    settings = SimpleNamespace(
        checkpoint=CheckpointSettings(asynchronous=False), output=SimpleNamespace(checkpoint="best")
    )
    run = SimpleNamespace(
        config=SimpleNamespace(settings=settings), checkpoints=checkpoints, resolved=SimpleNamespace(steps_per_epoch=5)
    )
    reported: list[str | None] = []
    listener = Listener(name="test", on_save_failed=reported.append, on_saved=lambda _event: reported.append(None))
    progress = TrainProgress()
    saver = CheckpointSaver(run, progress, listeners=Listeners([listener]), heartbeat=Heartbeat(None))
    saved, best = [], {}
    for step in range(1, 5):
        tiny.train(engine, "net", start=step - 1, end=step)
        progress.step = step
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if step == 2:
            progress.selection = Selection(best=Best(step=2, metric="loss", value=0.5), best_steps=(2,))
            best = fingerprint(engine)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        saver.begin()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        saved.append(progress.last.step)
    checkpoints.load_step(2)
    return {
        "reported": reported,
        "saved": saved,
        "best": progress.best.step,
        "is the best": fingerprint(engine) == best,
    }


def files_of(folder: str) -> dict[str, int]:
    """Return the size of every file below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}


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


def error_of(action) -> str:
    """Return the class and message of the error that an action raises."""
    try:
        action()
    except (StorageError, ConfigError) as error:
        return f"{type(error).__name__}: {error.message}"
    except StageError as error:
        return f"unexpected {error!r}"
    return "nothing"


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
