"""One rank of the real training loop that saves when the benchmark says so: a program of its own, started by the supervisor.

    python bench/resilience_rank.py supervise|train RUN_JSON PLAN_JSON

Blocks of steps with saves and without saves alternate in one process. Before each save the same bytes are copied once in memory, as a lower
bound; that pause is recorded and not counted. The records go to the file that the plan names; times are those of `time.monotonic`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tuneloop_trainer.training.step import StepReport
    from tuneloop_trainer.training.training_run import TrainingRun


@dataclass
class Watch:
    """Replaces the loop's `make_step`: records the begin and end of each step, and decides on saves."""

    plan: dict[str, Any]
    make_step: Any
    steps: list[dict[str, Any]] = field(default_factory=list)
    memory: list[np.ndarray] = field(default_factory=list)

    def step(self, run: TrainingRun, step: int, *, save: bool, **rest: Any) -> StepReport:
        """Make a step as the loop does; exit after the last step."""
        if step == self.plan["steps"]:
            self._leave(run)
        save = self._save_due(step)
        paused = time.monotonic()
        copied = self._copy(run) if save else 0.0
        began = time.monotonic()
        report = self.make_step(run, step, save=save, **rest)
        ended = time.monotonic()
        self.steps.append(
            {
                "began": began,
                "ended": ended,
                "save": save,
                "pause": began - paused,
                "copy": copied,
                "tokens": run.batch_schedule.tokens(step).real,
            }
        )
        return report

    def _save_due(self, step: int) -> bool:
        """Whether to save after a step. The first save of a block is that of the step before it."""
        block, place = divmod(step + 1, self.plan["block"])
        blocks = self.plan["saving"]
        return block < len(blocks) and blocks[block] and place % self.plan["every"] == 0

    def _copy(self, run: TrainingRun) -> float:
        """Copy as many bytes as this rank saves, between buffers that were touched before; returns seconds."""
        if not self.memory:
            values = sum(fragment.count for fragment in run.engine.master_weights.fragments())
            self.memory = [np.ones(3 * 4 * values, dtype=np.uint8) for _ in range(2)]  # fp32 weights and two moments
        run.engine.exchange(None)  # all ranks copy at once, as all save at once
        began = time.monotonic()
        np.copyto(*self.memory)
        seconds = time.monotonic() - began
        run.engine.exchange(None)
        return seconds

    def _leave(self, run: TrainingRun) -> None:
        from tuneloop_trainer.__main__ import end_process

        records = {"steps": self.steps, "bytes": self.memory[0].size}
        Path(self.plan["out"]).with_suffix(f".{run.engine.rank}").write_text(json.dumps(records))
        run.engine.exchange(None)
        end_process(0)


def main(command: str, run_json: str, plan_json: str) -> int:
    """Supervise two ranks, or run as a rank; return the exit code."""
    from tuneloop_trainer.__main__ import load_run_config

    config = load_run_config(Path(run_json), stage="train")
    if command == "supervise":
        from tuneloop_trainer.supervisor.start import program
        from tuneloop_trainer.supervisor.supervisor import supervise

        return supervise(config, program([sys.executable, __file__, "train", run_json, plan_json]))
    os.environ["HF_HUB_OFFLINE"] = "1"
    from tuneloop_trainer.report import Reporter
    from tuneloop_trainer.training import loop
    from tuneloop_trainer.training.rank import train

    loop.make_step = Watch(json.loads(Path(plan_json).read_text()), loop.make_step).step
    train(config, Reporter(config))
    return 1  # the plan ends before the run does


if __name__ == "__main__" and len(sys.argv) > 1:
    sys.exit(main(*sys.argv[1:]))
