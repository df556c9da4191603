"""Runs whole gangs of training ranks, one after the other, by the real entry point of the trainer."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from ranks import start_and_wait

from tuneloop_api.contract.run_config import RunConfig


def run_gangs(paths: Sequence[Path], *, timeout: float = 150.0) -> None:
    """Train with each of these run configurations; raises AssertionError with the output if a rank fails."""
    deadline = time.monotonic() + timeout
    for path in paths:
        gang = RunConfig.model_validate_json(path.read_bytes()).settings.gang
        left = deadline - time.monotonic()
        ranks = gang.nodes * gang.processes_per_node
        done = start_and_wait(Path(__file__), "train", world_size=ranks, deadline=left, path=str(path))
        assert set(done.exit_codes) == {0}, done.output


def train(path: str) -> None:
    """Be one rank of a run."""
    from tuneloop_trainer.__main__ import main

    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message.{os.environ['RANK']}"
    code = main(["train", path])
    if code:
        raise SystemExit(f"exit code {code}")
