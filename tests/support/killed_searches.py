"""Runs a gang whose rank 0 is killed at a chosen write of the record of a search; the other ranks then lose their peer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ranks import start_and_wait

from tuneloop_api.contract.run_config import RunConfig

if TYPE_CHECKING:
    from tuneloop_api.contract.search import Trial


def run_and_kill(path: Path, *, trial: int, state: str, evaluations: int, written: bool) -> None:
    """Train until the record is to get this trial in this state, with so many evaluations; rank 0 dies before the write, or after it (`written`)."""
    gang = RunConfig.model_validate_json(path.read_bytes()).settings.gang
    point = {"trial": trial, "state": state, "evaluations": evaluations, "written": written}
    done = start_and_wait(
        Path(__file__), "train", world_size=gang.nodes * gang.processes_per_node, path=str(path), **point
    )
    assert -signal.SIGKILL in done.exit_codes, done.output


def train(path: str, *, trial: int, state: str, evaluations: int, written: bool) -> None:
    """Be one rank."""
    from forked_gangs import train as train_to_the_end

    from tuneloop_trainer.training.search.journal import Journal

    write = Journal.write

    def deadly(journal: Journal, found: Trial) -> None:
        is_here = (found.number, found.state, len(found.evaluations)) == (trial, state, evaluations)
        if written or not is_here:
            write(journal, found)
        if is_here:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = deadly  # type: ignore[method-assign]
    train_to_the_end(path)
