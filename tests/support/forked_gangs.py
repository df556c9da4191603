"""Runs whole gangs of training ranks, one after the other: `python forked_gangs.py RUN_JSON ...`.

Each rank is a process of its own that runs the real entry point, but torch is imported once, before the forks: it takes seconds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_gangs(paths: Sequence[Path], *, timeout: float = 150.0) -> None:
    """Train with each of these run configurations; raises AssertionError with the output if a rank fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _gang(path: str) -> int:
    """Fork the ranks of one run; returns the first exit code that is not 0."""
    from tuneloop_api.run_config import RunConfig

    gang = RunConfig.model_validate_json(Path(path).read_bytes()).settings.gang
    port = free_port()
    pids = [
        _fork(path, rank, world_size=gang.nodes * gang.processes_per_node, port=port)
        for rank in range(gang.nodes * gang.processes_per_node)
    ]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return next((code for code in codes if code), 0)


def _fork(path: str, rank: int, *, world_size: int, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    from tuneloop_trainer.__main__ import main

    place = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": world_size,
        "LOCAL_WORLD_SIZE": world_size,
        "MASTER_PORT": port,
    }
    os.environ.update({name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"})
    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message.{rank}"
    code = main(["train", path])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import tuneloop_trainer.loop

    assert tuneloop_trainer.loop
    sys.exit(next((code for code in map(_gang, sys.argv[1:]) if code), 0))
