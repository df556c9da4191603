"""The cost of saves in one gang of two CPU ranks: how long training waits for a save, its slowdown with saves, and hashing."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience_runs import inputs
from training_runs import free_port, prepare, run_config

from tuneloop_api.contract.run_config import Rendezvous, ResultReference
from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.manifest import SavedFile
from tuneloop_trainer.checkpoint.resume import check_files

EVERY = 20
"""Steps between two saves."""
RANK = Path(__file__).with_name("resilience_rank.py")


@dataclass(frozen=True)
class SaveCosts:
    """The cost of saves in one gang."""

    bytes: int
    """Bytes that one rank saves."""
    blocking: list[float]
    """Seconds that training waited for each save, beyond the usual time between two steps."""
    copies: list[float]
    """Seconds of a copy of the same bytes in memory, by the same rank right before."""
    slowdowns: list[float]
    """By how much a block with saves took longer per token than the block without saves of its pair: 0.05 is 5 %."""

    @property
    def ratio(self) -> float:
        """Median time that a save blocks, in copies."""
        return statistics.median(self.blocking) / statistics.median(self.copies)


def save_costs(folder: Path, *, pairs: int, saves: int) -> SaveCosts:
    """Train `pairs` pairs of blocks, one of each with `saves` saves; with, without, without, with, and so on."""
    saving = [index % 4 in (0, 3) for index in range(2 * pairs)]
    block = EVERY * saves
    steps = block * (len(saving) + 1)  # a first block warms up
    plan = {
        "steps": steps,
        "block": block,
        "every": EVERY,
        "saving": [False, *saving],
        "out": str(folder / "records.json"),
    }
    _train(folder, steps=steps, plan=plan)
    ranks = [json.loads((folder / f"records.{rank}").read_text()) for rank in range(2)]
    steps_made = ranks[0]["steps"]
    return SaveCosts(
        bytes=ranks[0]["bytes"],
        blocking=_blocking(steps_made),
        copies=[step["copy"] for step in steps_made if step["save"]],
        slowdowns=_slowdowns(steps_made, block=block, saving=saving),
    )


def hashing(folder: Path, *, megabytes: int = 512) -> tuple[float, float]:
    """Return how fast a checkpoint's file is checked against its manifest and how fast SHA-256 is on bytes in memory, both in GB/s."""
    content = os.urandom(1 << 20) * megabytes
    path = folder / "hashed"
    path.write_bytes(content)
    size = len(content)
    began = time.monotonic()
    digest = hashlib.sha256(content).hexdigest()
    in_memory = time.monotonic() - began
    file = SavedFile(name=path.name, size=size, sha256=digest)
    began = time.monotonic()
    check_files(folder, [file])
    checked = time.monotonic() - began
    path.unlink()
    return size / checked / 1e9, size / in_memory / 1e9


def _train(folder: Path, *, steps: int, plan: dict[str, Any]) -> None:
    given = inputs(folder)
    (source,) = given["data"]["train"]
    blocks: dict[str, Any] = {
        "model": given["model"],
        "gang": {"nodes": 1, "gpusPerNode": 0, "processesPerNode": 2},
        "training": {
            "maxSteps": steps + 1,
            "globalBatchSize": 32,
            "microBatchSize": 16,
            "learningRate": 2e-5,
            "evaluateEvery": {"steps": 10**6},
        },
        "checkpoint": {"everySteps": 10**6},
    }
    prepare(folder, source=source, **blocks)
    path = folder / "job" / "prepare.json"
    config = changed(
        run_config(folder, stage="train", source=source, **blocks),
        prepare_result=ResultReference(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()),
        rendezvous=Rendezvous(address="127.0.0.1", port=free_port()),
    )
    run_json, plan_json = folder / "run.json", folder / "plan.json"
    run_json.write_text(json.dumps(config.to_wire()))
    plan_json.write_text(json.dumps(plan))
    with (folder / "saves.log").open("w") as log:
        ended = subprocess.run(
            [sys.executable, str(RANK), "supervise", str(run_json), str(plan_json)],
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode:
        sys.exit(f"the gang ended with {ended.returncode}; its log:\n{(folder / 'saves.log').read_text()[-2000:]}")


def _blocking(steps: list[dict[str, Any]]) -> list[float]:
    """Return, for each save, how long training waited between steps until the next save, beyond the usual waits: copy and commit."""
    pauses = [after["began"] - after["pause"] - before["ended"] for before, after in itertools.pairwise(steps)]
    usual = statistics.median(pauses)
    saves = [index for index, step in enumerate(steps) if step["save"]]
    return [sum(pause - usual for pause in pauses[at : at + EVERY]) for at in saves]


def _slowdowns(steps: list[dict[str, Any]], *, block: int, saving: list[bool]) -> list[float]:
    """Compare the two blocks of each pair, with and without saves. A block begins at the end of the step before it."""
    speeds = []
    for index in range(1, len(saving) + 1):
        inside = steps[index * block : (index + 1) * block]
        seconds = inside[-1]["ended"] - steps[index * block - 1]["ended"] - sum(step["pause"] for step in inside)
        speeds.append(seconds / sum(step["tokens"] for step in inside))
    pairs = [sorted(zip(saving[at : at + 2], speeds[at : at + 2], strict=True)) for at in range(0, len(saving), 2)]
    return [with_saves / without - 1 for (_, without), (_, with_saves) in pairs]
