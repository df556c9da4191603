"""A run without a model: losses and evaluations come from a script, and all that the loop decides is recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from run_configs import run_config

from tuneloop_api.contract.results import Resolved, SavedStep
from tuneloop_trainer.errors import SaveFailedError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.supervisor.heartbeat import Heartbeat
from tuneloop_trainer.training.batch_schedule import BatchSchedule
from tuneloop_trainer.training.intervals import SaveAndEvalIntervals
from tuneloop_trainer.training.loop import Loop
from tuneloop_trainer.training.lr_schedule import Schedule
from tuneloop_trainer.training.resume import TrainProgress
from tuneloop_trainer.training.training_run import TrainingRun

ROWS, GLOBAL_BATCH, MICRO_BATCH = 40, 4, 2
STEPS_PER_EPOCH = ROWS // GLOBAL_BATCH


class ScriptedEngine:
    """One rank; others answer as this one does. It computes nothing."""

    def __init__(self) -> None:
        self.rank, self.world_size, self.zero_stage = 0, 1, 0
        self.device = torch.device("cpu")
        self.settings = SimpleNamespace(epsilon=1e-8)
        self.master_weights = SimpleNamespace(fragments=lambda: iter(()))
        self.model = torch.nn.Linear(2, 3)
        self.rates: list[float] = []
        self.after_step: Callable[[int], None] = lambda _step: None
        self.gradient = 0.0

    def forward(self, **_inputs: Any) -> None: ...

    def backward(self, loss: torch.Tensor) -> None:
        self.gradient += float(loss)

    def step(self, *, learning_rate: float) -> float:
        self.rates.append(learning_rate)
        self.after_step(len(self.rates))
        norm, self.gradient = self.gradient, 0.0
        return norm

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def exchange(self, value: Any) -> list[Any]:
        return [value] * self.world_size

    def peak_memory_bytes(self) -> int:
        return 1234

    def trainable_state(self) -> dict[str, torch.Tensor]:
        return {"weight": torch.ones(2)}


@dataclass
class ScriptedTask:
    """Its loss is that of the script; each evaluation takes the next value of its own script."""

    engine: ScriptedEngine
    losses: Sequence[float]
    evaluations: list[float]
    first: int = 0
    primary_metric: str = "accuracy"
    target_scale: None = None
    collate_for_training: Any = None
    generation: None = None
    measured: list[int] = field(default_factory=list)

    def collate(self, _split: Any, rows: np.ndarray, _pad_id: int) -> Any:
        return SimpleNamespace(inputs={}, labels=np.zeros(len(rows), dtype=np.int64))

    def loss_sum(self, _output: Any, labels: torch.Tensor, _smoothing: float) -> torch.Tensor:
        return torch.tensor(self.losses[self.first + len(self.engine.rates)] * len(labels), dtype=torch.float64)

    def target_values(self, _output: Any, labels: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(labels), 2)

    complete = None

    def values_per_line(self, labels: Sequence[str]) -> int:
        return len(labels)

    def lines_per_row(self, split: Any) -> np.ndarray:
        return split.targets

    def target_labels(self, split: Any) -> np.ndarray:
        return np.zeros(int(split.targets.sum()), dtype=np.int64)

    def prior_loss(self, _split: Any) -> float:
        return math.log(2)

    def metrics(self, predictions: Any, _labels: Any) -> dict[str, float]:
        self.measured.append(len(predictions.rows))
        return {"loss": self.evaluations.pop(0) if self.evaluations else 0.5, "accuracy": 0.75}


class ScriptedCheckpoints:
    """Records what is saved. A save is ready at the next step unless `slow`; those of the steps `fails` fail."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.exactness = folder, "exact"
        self.calls: list[str] = []
        self.saved: list[int] = []
        self.kept: list[dict[str, Any]] = []
        self.states: dict[int, Any] = {}
        self.fails: list[int] = []
        self.slow = False
        self._writing: int | None = None
        self._copied = -1

    @property
    def ready(self) -> bool:
        return self._writing is not None and not self.slow

    def begin(self, state: Any, *, step: int) -> None:
        self.states[step], self._copied = state, step
        self._start("begin")

    def begin_again(self) -> None:
        self._start("begin again")

    def _start(self, name: str) -> None:
        assert self._writing is None
        self._writing = self._copied
        self.calls.append(f"{name} {self._copied}")

    def finish(self) -> SavedStep:
        step, self._writing = self._writing, None
        assert step is not None
        if step in self.fails:
            self.fails.remove(step)
            self.calls.append(f"fail {step}")
            raise SaveFailedError(f"no space for step {step}")
        self.calls.append(f"commit {step}")
        self.saved.append(step)
        return SavedStep(step=step, path=f"step-{step}", time="now")

    def keep(self, **settings: Any) -> None:
        self.kept.append(settings)

    def load_step(self, step: int) -> None:
        self.calls.append(f"load {step}")

    def close(self) -> None:
        self.calls.append("close")


class Posts:
    """Keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []

    def post(self, **fields: Any) -> None:
        self.posted.append(fields)


@dataclass
class Scripted:
    """A loop with its script, and what it did."""

    run: TrainingRun
    engine: ScriptedEngine
    task: ScriptedTask
    checkpoints: ScriptedCheckpoints
    posts: Posts = field(default_factory=Posts)
    stop: Any = field(default_factory=lambda: SimpleNamespace(asked=False))

    def loop(self, progress: TrainProgress | None = None) -> Loop:
        progress = progress or TrainProgress()
        self.task.first = progress.step
        return Loop(self.run, progress, reporter=self.posts, stop=self.stop, heartbeat=Heartbeat(None))

    def stop_after(self, step: int) -> None:
        """Ask to stop after this many steps of this attempt: the next step brings the flag to all ranks."""

        def after_step(made: int) -> None:
            self.stop.asked |= made >= step

        self.engine.after_step = after_step


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Return a function that makes a run. losses: by step. evaluations: validation losses, in their order; the first may be that of before."""

    # torch's own function also notes a whole stack for devices that are not there: a hundred times as long
    monkeypatch.setattr(torch, "manual_seed", torch.default_generator.manual_seed)

    def make(losses: Sequence[float], *, evaluations: Sequence[float] = (), warmup: int = 0, **settings: Any):
        settings = {"evaluation": {"baselines": False}, "checkpoint": {"everySteps": 5}} | settings
        settings["training"] = {"evaluateEvery": {"steps": 1000}} | settings.get("training", {})
        config = run_config(tmp_path, stage="train", **settings)
        total = len(losses)
        resolved = Resolved(
            labels=["bad", "good"], max_tokens=8, global_batch_size=GLOBAL_BATCH, micro_batch_size=MICRO_BATCH,
            steps_per_epoch=STEPS_PER_EPOCH, total_steps=total, warmup_steps=warmup, learning_rate=1e-3, precision="fp32", zero_stage=0,
        )  # fmt: skip
        splits = {
            name: SimpleNamespace(
                lengths=np.arange(rows) % 5 + 1,
                targets=np.ones(rows, dtype=np.int64),
                rows=np.arange(rows),
                first_windows=np.arange(rows),
            )
            for name, rows in (("train", ROWS), ("validation", 6), ("test", 7))
        }
        engine = ScriptedEngine()
        task = ScriptedTask(engine, losses, list(evaluations))
        checkpoints = ScriptedCheckpoints(tmp_path)
        run = TrainingRun(
            config=config, prepared=SimpleNamespace(resolved=resolved, dataset_digest="d1"), task=task, method=method_of(config.settings.method), splits=splits, pad_id=0,
            batch_schedule=BatchSchedule(splits["train"].lengths, seed=1, global_batch=GLOBAL_BATCH, micro_batch=MICRO_BATCH),
            schedule=Schedule(scheduler="constant", peak=1e-3, warmup_steps=warmup, total_steps=total),
            intervals=SaveAndEvalIntervals(
                evaluate_every=config.settings.training.evaluate_every, checkpoint=config.settings.checkpoint, steps_per_epoch=STEPS_PER_EPOCH,
                total_steps=total,
            ),
            engine=engine, checkpoints=checkpoints,
        )  # fmt: skip
        return Scripted(run, engine, task, checkpoints)

    return make
