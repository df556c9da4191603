"""What the ranks of the tests of saves that fail do: they are killed, or have no space."""

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
from gang_checkpoints import files_of, fingerprint, opened

from tuneloop_api.contract.settings import CheckpointSettings
from tuneloop_trainer import checkpoint as package
from tuneloop_trainer.checkpoint import TrainState
from tuneloop_trainer.engine.engine import start_process_group
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
from tuneloop_trainer.training.checkpoint_saver import CheckpointSaver
from tuneloop_trainer.training.listeners.listener import Listener
from tuneloop_trainer.training.listeners.listeners import Listeners
from tuneloop_trainer.training.resume import TrainProgress
from tuneloop_trainer.training.selection import Best, Selection

PACKAGE = str(Path(package.__file__).parent)


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
    engine.exchange(None)
    message = ""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        checkpoints.save(TrainState(), step=2)
    except StorageError as error:
        message = error.message
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    engine.exchange(None)
    after = files_of(folder)
    engine.exchange(None)
    checkpoints.save(TrainState(), step=2)
    return {"message": message, "before": before, "after": after, "then": files_of(folder)}


def save_on_full_volume(folder: str) -> dict:
    """Save until a volume is full; return what is raised, and what is left."""
    start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = opened(folder, engine)
    for step in range(1, 50):
        before = files_of(folder)
        engine.exchange(None)  # the other rank may begin to write
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
