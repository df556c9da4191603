"""A model that goes bad in the middle of a run: it is not saved, and the step where it began is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from prepared_runs import training_run, write_dataset, write_run
from ranks import start_and_wait
from tiny_models import sentences

from tuneloop_api.contract.run_config import RunConfig

STEPS, FAULT = 150, 80
CLS = 2
"""Id of the token that every text begins with."""


@pytest.fixture(scope="module")
def learnable(tmp_path_factory, tiny_model):
    rows = sentences(300)
    folder = tmp_path_factory.mktemp("data") / "learnable"
    write_dataset(folder, {"train": rows[:200], "validation": rows[200:250], "test": rows[250:]}, model=tiny_model)
    return folder


def config_of(folder: Path, *, tiny_model: Path, dataset: Path) -> RunConfig:
    training = {"maxSteps": STEPS, "globalBatchSize": 16, "microBatchSize": 8, "learningRate": 3e-3}
    return training_run(
        folder,
        model=tiny_model,
        dataset=dataset,
        training=training | {"evaluateEvery": {"steps": STEPS}},
        gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": 2},
        method={"type": "full"},
        checkpoint={"everySteps": 10},
        deepspeed={"stage": 0},  # the parameters are what Adam works on, so that a fault in them stays
    )


def train_with_fault(path: str, fault: str | None) -> int:
    """Be one rank of a run in whose weights something goes wrong before step `FAULT`."""
    from tuneloop_trainer.__main__ import main
    from tuneloop_trainer.engine import engine

    class FaultyEngine(engine.Engine):
        made = 0

        def step(self, *, learning_rate: float) -> float:
            norm = super().step(learning_rate=learning_rate)
            self.made += 1
            if fault is not None and self.made >= FAULT - 1:
                spoil(self.model, fault)
            return norm

    from tuneloop_trainer.training import setup as run_setup

    run_setup.Engine = FaultyEngine
    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message.{os.environ['RANK']}"
    return main(["train", path])


@torch.no_grad()
def spoil(model: torch.nn.Module, fault: str) -> None:
    """Let the head say the same whatever it reads, or flip one bit of the exponent of one weight on rank 1."""
    if fault == "stuck":
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([5.0, -5.0]))
    elif os.environ["RANK"] == "1":
        model.bert.embeddings.word_embeddings.weight.view(torch.int32)[CLS, 0] ^= 1 << 30


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param("bit", f"of step {FAULT} is", id="one flipped bit on one rank"),
        pytest.param(
            "stuck", f"the loss rose at step {FAULT} and has stayed there", id="a loss that is large but finite"
        ),
    ],
)
def test_a_bad_state_is_never_saved(tmp_path, tiny_model, learnable, fault, said):
    config = config_of(tmp_path, tiny_model=tiny_model, dataset=learnable)
    path = str(write_run(config, tmp_path / "run.json"))
    done = start_and_wait(Path(__file__), "train_with_fault", world_size=2, path=path, fault=fault)
    assert done.results == (76, 76), done.output
    message = json.loads(Path(f"{path}.message.0").read_text())
    assert (message["failureClass"], message["step"]) == ("NonFiniteLoss", FAULT)
    assert said in message["message"]
    saved = [int(folder.name.split("-")[1]) for folder in Path(config.paths.job_dir, "checkpoints").glob("step-*")]
    assert max(saved) == 70, saved  # the next would have been of step 80


def test_the_same_run_without_a_fault_ends_well(tmp_path, tiny_model, learnable):
    config = config_of(tmp_path, tiny_model=tiny_model, dataset=learnable)
    path = str(write_run(config, tmp_path / "run.json"))
    done = start_and_wait(Path(__file__), "train_with_fault", world_size=2, path=path, fault=None)
    assert done.results == (0, 0), done.output
