"""Starts real gangs of ranks for tests: processes on this machine that talk over gloo on loopback.

All ranks are forked from one process that has imported torch and DeepSpeed once (a fork server), so that a gang starts in a
fraction of a second instead of four.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import json
import multiprocessing
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from free_ports import free_port

_PRELOADED = [
    "tuneloop_trainer.engine.engine",
    "tuneloop_trainer.checkpoint",
    "tuneloop_trainer.training.rank",
    "tuneloop_trainer.training.attempt",
    "tuneloop_trainer.export.stage",
    "transformers.models.bert.modeling_bert",
    "peft",
]


@dataclass(frozen=True)
class GangOutcome:
    """How a gang ended."""

    exit_codes: tuple[int, ...]
    """By rank; -9 is SIGKILL."""
    results: tuple[Any, ...]
    """Results of the ranks' functions, by rank; None for a rank that failed."""
    output: str
    """What the ranks printed, with the tracebacks."""


def run_ranks(script: Path, function: str, *, world_size: int, deadline: float = 120.0, **arguments: Any) -> list[Any]:
    """Run a function of a file on every rank of a new gang; return its JSON results by rank.

    The function is called as `function(**arguments)`, with the variables of a rank in the environment. Fails the test when a
    rank fails, or when the gang is not done after `deadline` seconds.
    """
    outcome = start_and_wait(script, function, world_size=world_size, deadline=deadline, **arguments)
    assert set(outcome.exit_codes) == {0}, f"exit codes {outcome.exit_codes}\n{outcome.output}"
    return list(outcome.results)


def start_and_wait(
    script: Path, function: str, *, world_size: int, deadline: float = 120.0, **arguments: Any
) -> GangOutcome:
    """Do as `run_ranks`, for a gang that may fail: the rest is killed as soon as one rank has ended badly."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the fork server takes the environment of its start
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with TemporaryDirectory(prefix="ranks-") as folder:
        port = free_port()
        ranks = [
            context.Process(
                target=_rank,
                kwargs={
                    "script": str(script), "function": function, "arguments": arguments, "folder": folder,
                    "rank": rank, "world_size": world_size, "port": port,
                },
            )
            for rank in range(world_size)
        ]  # fmt: skip
        for rank in ranks:
            rank.start()
        late = not _wait(ranks, deadline=deadline)
        output = "\n".join(path.read_text(errors="replace") for path in sorted(Path(folder).glob("*.log")))
        assert not late, f"the gang was not done after {deadline} s\n{output}"
        results = [Path(folder, f"{index}.json") for index in range(world_size)]
        return GangOutcome(
            exit_codes=tuple(rank.exitcode or 0 for rank in ranks),
            results=tuple(json.loads(path.read_bytes()) if path.exists() else None for path in results),
            output=output,
        )


def _wait(ranks: list[Any], *, deadline: float) -> bool:
    """Wait until all ranks have ended; kill the rest once one has failed or time is up. Returns whether they ended in time."""
    end = time.monotonic() + deadline
    grace = None
    while any(rank.exitcode is None for rank in ranks):
        now = time.monotonic()
        if grace is None and any(rank.exitcode for rank in ranks):
            grace = now + 3  # the others may have something to say about it
        if now > end or (grace is not None and now > grace):
            for rank in ranks:
                rank.kill()
        for rank in ranks:
            if rank.exitcode is None:
                rank.join(0.1)
                break
        if now > end:
            for rank in ranks:
                rank.join()
            return False
    return True


def _rank(
    *, script: str, function: str, arguments: dict[str, Any], folder: str, rank: int, world_size: int, port: int
) -> None:
    log = os.open(f"{folder}/{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        spec = importlib.util.spec_from_file_location("rank_script", script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result = getattr(module, function)(**arguments)
        Path(folder, f"{rank}.json").write_text(json.dumps(result))
        code = 0
    except BaseException:  # noqa: BLE001  (whatever a rank dies of belongs in its log)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # skips the exit handlers that the fork server's children share
