"""Writers of checkpoints that are killed at seeded moments, one after the other in the same folder, and what each finds at its start."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import time
import traceback
from pathlib import Path

import tiny_training as tiny
import torch
from free_ports import free_port

from tuneloop_trainer.checkpoint import Checkpoints, TrainState
from tuneloop_trainer.engine.engine import Engine, start_process_group

LONGEST_LIFE_SECONDS = 0.03
"""About five saves."""
START_SECONDS = 60.0


def kill_writers(folder: str, *, seeds: list[int], gang: int) -> list[dict]:
    """Kill a gang of writers for every seed, at a moment of its saving that follows from the seed; return their reports.

    `found`: the step that it went on from (0: there was none); `is_right`: every value was that of this step; `damaged`: checkpoints that
    were passed over; `begun`, `committed`: the last steps of which a save was begun and finished; `left`: what the kill left half done.
    The gangs are forked from this process, which has imported everything and started nothing.
    """
    lives = []
    for attempt, seed in enumerate(seeds, 1):
        life = _live_and_die(folder, attempt=attempt, world_size=gang, moment=random.Random(seed))
        left = sorted(path.suffix for path in Path(folder).iterdir() if path.suffix in (".tmp", ".trash"))
        lives.append({**life, "left": left})
    return lives


def _live_and_die(folder: str, *, attempt: int, world_size: int, moment: random.Random) -> dict:
    reading, writing = os.pipe()
    port = free_port()
    ranks = [
        _fork(folder, attempt=attempt, rank=rank, world_size=world_size, port=port, pipe=writing)
        for rank in range(world_size)
    ]
    os.close(writing)
    with os.fdopen(reading) as reports:
        ready = select.select([reports], [], [], START_SECONDS)[0] and reports.readline()
        if ready:
            time.sleep(moment.uniform(0, LONGEST_LIFE_SECONDS))
            os.kill(moment.choice(ranks), signal.SIGKILL)  # the others may go on until they miss it
        for rank in ranks:
            os.kill(rank, signal.SIGKILL)
            os.waitpid(rank, 0)
        assert ready, f"attempt {attempt} did not come to save"
        life = json.loads(ready)
        for line in reports:
            life |= json.loads(line)
    return life


def _fork(folder: str, *, attempt: int, rank: int, world_size: int, port: int, pipe: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        _save_until_killed(folder, attempt=attempt, pipe=pipe)
    except BaseException:  # noqa: BLE001  (a fork must not go on as its parent)
        traceback.print_exc()
    os._exit(1)


def _save_until_killed(folder: str, *, attempt: int, pipe: int) -> None:
    """Go on from what is there, and save step after step."""
    rank, _ = start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    checkpoints = Checkpoints(Path(folder), engine=engine, config_hash="same", attempt=attempt, fingerprint={})
    found = checkpoints.newest()
    step = 0
    if found is not None:
        checkpoints.load(found)
        step = found.step

    def report(**fields: object) -> None:
        if rank == 0:
            os.write(pipe, f"{json.dumps(fields)}\n".encode())

    right = all(engine.exchange(step == 0 or _holds(engine, step)))
    found_step = step
    while True:
        step += 1
        _fill(engine, step)
        if step > found_step + 1:  # every life brings a step
            report(begun=step)
        checkpoints.begin(TrainState(), step=step)
        _fill(engine, -1)  # training goes on while the copy is written
        checkpoints.finish()
        report(found=found_step, is_right=right, damaged=len(checkpoints.skipped), begun=step, committed=step)
        checkpoints.keep(last=2, best=1, best_steps=[step - step % 5])


def _fill(engine: Engine, step: int) -> None:
    for fragment in engine.master_weights.fragments():
        for view, expected in _values(fragment, step):
            view.copy_(expected)
    engine.master_weights.step = abs(step)


def _holds(engine: Engine, step: int) -> bool:
    fragments = engine.master_weights.fragments()
    equal = [torch.equal(*pair) for fragment in fragments for pair in _values(fragment, step)]
    return all(equal) and engine.master_weights.step == step


def _values(fragment, step: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each view with the values that it has at a step: other ones for each element, view and step."""
    places = torch.arange(fragment.start, fragment.start + fragment.count, dtype=torch.float32)
    return [(view, places + 10000 * step + 1000 * kind) for kind, view in enumerate(fragment.views.values())]
