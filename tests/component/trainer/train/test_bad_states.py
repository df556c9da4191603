"""A model that goes bad in the middle of a run: its state is not saved, and the message names the step where it went bad."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from prepared_runs import training_run, write_dataset, write_run
from ranks import start_and_wait
from tiny_models import sentences

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.wire.model import changed

STEPS, FAULT = 130, 70
NON_FINITE_LOSS, PREEMPTED = 76, 79
CLS = 2
"""Id of the token that every text begins with."""


@pytest.fixture(scope="module")
def learnable(tmp_path_factory, tiny_model):
    rows = sentences(300)
    folder = tmp_path_factory.mktemp("data") / "learnable"
    write_dataset(folder, {"train": rows[:200], "validation": rows[200:250], "test": rows[250:]}, model=tiny_model)
    return folder


@pytest.fixture
def make_run(tmp_path, tiny_model, learnable):
    def make(*, ranks: int = 1, steps: int = STEPS) -> RunConfig:
        training = {"maxSteps": steps, "globalBatchSize": 16, "microBatchSize": 16 // ranks, "learningRate": 3e-3}
        return training_run(
            tmp_path,
            model=tiny_model,
            dataset=learnable,
            training=training | {"evaluateEvery": {"steps": steps}},
            gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
            method={"type": "full"},
            checkpoint={"everySteps": 10, "keepLast": 100, "asynchronous": False},
            deepspeed={"stage": 0},  # the parameters are what Adam works on, so that a fault in them stays
            evaluation={"baselines": False},
        )

    return make


def train(config: RunConfig, **faults: Any) -> tuple[tuple[int, ...], dict]:
    """Run a gang with faults; return the exit codes by rank, and the message of rank 0."""
    path = write_run(config, Path(config.paths.job_dir, f"run-{config.attempt}.json"))
    ranks = config.settings.gang.processes_per_node
    done = start_and_wait(Path(__file__), "train_with_faults", world_size=ranks, path=str(path), **faults)
    assert None not in done.results, done.output
    return tuple(done.results), json.loads(Path(f"{path}.message.0").read_text())


def train_with_faults(
    path: str,
    fault: str | None = None,
    first: int = FAULT,
    end: int = 10**9,
    stop_after: int | None = None,
    start: int = 0,
) -> int:
    """Be one rank of a run. Something is wrong with the weights or gradients of the steps from `first` up to `end`, without `end`.

    stop_after: the last rank alone gets SIGTERM during this step. start: step that this attempt resumes from.
    """  # fmt: skip
    from tuneloop_trainer.__main__ import main
    from tuneloop_trainer.engine import engine
    from tuneloop_trainer.training import setup as run_setup

    class FaultyEngine(engine.Engine):
        made = start
        kept: dict[str, torch.Tensor]

        def step(self, *, learning_rate: float) -> float:
            norm = super().step(learning_rate=learning_rate)
            self.made += 1
            if self.made == stop_after and self.rank == self.world_size - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            if fault is not None and self.made + 1 == first:
                self.kept = {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}
            if fault is not None and first <= self.made + 1 < end:
                spoil(self.model, fault)
            if fault is not None and self.made + 1 == end:
                self.model.load_state_dict(self.kept, strict=False)
            return norm

    run_setup.Engine = FaultyEngine
    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message.{os.environ['RANK']}"
    return main(["train", path])


@torch.no_grad()
def spoil(model: torch.nn.Module, fault: str) -> None:
    """Make the next step go wrong."""
    if fault == "stuck":  # the head says the same whatever it reads
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([5.0, -5.0]))
    elif fault == "nan":
        model.classifier.bias.fill_(torch.nan)
    elif fault == "endless gradient":
        model.classifier.bias.register_hook(lambda gradient: gradient * torch.inf)
    elif fault == "flipped bit" and os.environ["RANK"] == "1":  # one bit of the exponent of one weight
        model.bert.embeddings.word_embeddings.weight.view(torch.int32)[CLS, 0] ^= 1 << 30


def saved_steps(config: RunConfig) -> list[int]:
    return sorted(int(folder.name.split("-")[1]) for folder in Path(config.paths.job_dir, "checkpoints").glob("step-*"))


@pytest.mark.parametrize(
    ("fault", "ranks", "message"),
    [
        pytest.param("flipped bit", 2, f"of step {FAULT} is", id="one flipped bit on one rank"),
        pytest.param("nan", 1, f"the loss of step {FAULT} is nan", id="a loss that is no number"),
        pytest.param(
            "endless gradient", 1, f"the gradient norm of step {FAULT} is inf", id="a finite loss with an infinite gradient"
        ),
        pytest.param(
            "stuck", 2, f"the loss rose at step {FAULT} and has stayed there for 50 steps", id="a loss that is large but finite"
        ),
    ],
)  # fmt: skip
def test_a_bad_state_is_never_saved(make_run, fault, ranks, message):
    config = make_run(ranks=ranks)
    codes, report = train(config, fault=fault)
    assert set(codes) == {NON_FINITE_LOSS}
    assert (report["failureClass"], report["step"]) == ("NonFiniteLoss", FAULT)
    assert message in report["message"]
    assert max(saved_steps(config)) == 60  # the next would have been of step 70


def test_the_same_run_without_a_fault_ends_well(make_run):
    config = make_run(ranks=2, steps=80)
    codes, _ = train(config)
    assert codes == (0, 0)
    assert saved_steps(config) == list(range(10, 81, 10))


def test_a_save_that_falls_due_in_a_spike_is_made_as_soon_as_the_spike_is_over(make_run):
    config = make_run(steps=90)
    codes, _ = train(config, fault="stuck", first=68, end=73)
    assert codes == (0,)
    assert saved_steps(config) == [10, 20, 30, 40, 50, 60, 73, 80, 90]


def test_a_run_that_is_stopped_in_a_spike_leaves_without_saving(make_run):
    config = make_run(ranks=2)
    codes, report = train(config, fault="stuck", first=68, stop_after=69)
    assert codes == (PREEMPTED, PREEMPTED)  # one rank was asked, both leave
    assert "asked to stop after step 70 of 130; the newest checkpoint is of step 60" in report["message"]
    assert max(saved_steps(config)) == 60


def test_a_run_that_ends_in_a_spike_fails(make_run):
    config = make_run(steps=90)
    codes, report = train(config, fault="stuck", first=76)
    assert codes == (NON_FINITE_LOSS,)
    assert "the loss rose at step 76 and has stayed there for 15 steps" in report["message"]
    assert max(saved_steps(config)) == 70


def test_a_spike_soon_after_a_restart_is_known_from_the_losses_before_it(make_run):
    config = make_run(steps=90)
    codes, _ = train(config, stop_after=63)
    assert (codes, max(saved_steps(config))) == ((PREEMPTED,), 64)
    codes, report = train(changed(config, attempt=2), fault="stuck", first=68, start=64)
    assert codes == (NON_FINITE_LOSS,)
    assert "the loss rose at step 68" in report["message"]
    assert max(saved_steps(config)) == 64
