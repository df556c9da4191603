"""Each finding is made once by a real run that has the fault; runs without one are in `tests/stories/local/gangs/test_healthy_runs.py`."""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prepared_runs import training_run, write_dataset, write_run
from ranks import run_ranks
from tiny_models import sentences, tiny_bert, tiny_tokenizer

FULL = {"type": "full"}


def noise(count: int) -> list[tuple[str, str]]:
    """Sentences whose labels were drawn by lot."""
    source = random.Random(1)
    return [(text, f"class-{source.randint(0, 1)}") for text, _ in sentences(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Hold the models and the data sets, by name."""
    folder = tmp_path_factory.mktemp("diagnosis")
    model = tiny_bert(folder / "bert")
    dead_bert(folder / "dead")
    rows, drawn = sentences(300), noise(300)
    for name, found, first in (("learnable", rows, 200), ("noise", drawn, 200), ("few", drawn, 40)):
        splits = {"train": found[:first], "validation": found[200:250], "test": found[250:]}
        write_dataset(folder / name, splits, model=model)
    return folder


def dead_bert(folder: Path) -> None:
    """Save a BERT whose feed-forward layers put out nothing: every ReLU is far below zero."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, hidden_act="relu", **sizes))
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.intermediate.dense.bias.fill_(-100.0)
    model.save_pretrained(folder)


def train(path: str, slow: bool) -> None:
    """Be the one rank of a run; its data lies on a slow volume, if that is wanted."""
    from tuneloop_trainer.__main__ import main
    from tuneloop_trainer.training import setup as run_setup

    if slow:
        opened = run_setup.open_split
        run_setup.open_split = lambda dataset, name: on_slow_volume(opened(dataset, name))
    os.environ["TUNELOOP_RANK_MESSAGE"] = f"{path}.message"
    assert main(["train", path]) == 0


def on_slow_volume(split: Any) -> Any:
    """Let every read of a row of the training split take 2 ms more, as from a busy network volume."""

    class SlowShard:
        def __init__(self, ids: Any) -> None:
            self.ids = ids

        def __getitem__(self, place: slice) -> Any:
            time.sleep(0.002)
            return self.ids[place]

    return replace(split, ids=tuple(map(SlowShard, split.ids))) if split.name == "train" else split


def findings_of(
    place: Path, folder: Path, *, model: str = "bert", data: str, slow: bool = False, **settings: Any
) -> dict:
    usual = {"globalBatchSize": 16, "microBatchSize": 16, "learningRate": 3e-3, "evaluateEvery": {"steps": 20}}
    training = usual | {"maxSteps": 60} | settings.pop("training", {})
    config = training_run(
        place,
        model=folder / model,
        dataset=folder / data,
        training=training,
        **{"method": FULL, "checkpoint": {"everySteps": 1000}, "evaluation": {"baselines": False}} | settings,
    )
    path = write_run(config, place / "run.json")
    run_ranks(Path(__file__), "train", world_size=1, path=str(path), slow=slow)
    result = json.loads(Path(config.paths.job_dir, "train.json").read_text())
    message = json.loads(Path(f"{path}.message").read_text())
    lines = map(json.loads, Path(config.paths.job_dir, "logs", "train.jsonl").read_text().splitlines())
    logged = [line["name"] for line in lines if line["kind"] == "finding"]
    assert message["train"].get("findings", []) == result.get("findings", [])
    assert len(set(logged)) == len(logged)
    found = {finding["name"]: finding["message"] for finding in result.get("findings", [])}
    assert found.keys() <= set(logged)
    return found


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        pytest.param(
            "LearningRateTooHigh", {"data": "learnable", "training": {"learningRate": 0.3}}, "the learning rate is 0.3",
            id="a learning rate a hundred times too high",
        ),
        pytest.param(
            "LearningRateTooLow", {"data": "learnable", "training": {"learningRate": 1e-8}}, "all steps together move a weight by about 3e-07",
            id="a learning rate near zero",
        ),
        pytest.param(
            "OverFitting", {"data": "few", "training": {"maxSteps": 200, "dropout": 0.0}}, "the validation loss was lowest at step",
            id="forty rows with labels drawn by lot",
        ),
        pytest.param(
            "UnderFitting", {"data": "noise", "method": {"type": "lora", "rank": 2}, "training": {"learningRate": 1e-3, "microBatchSize": 8}},
            "after 60 steps", id="labels that have nothing to do with the texts",
        ),
        pytest.param(
            "DeadGradients", {"data": "noise", "model": "dead"}, "no gradient reaches 4 of", id="layers whose units are all dead",
        ),
        pytest.param("InputBound", {"data": "learnable", "slow": True}, "of a step's time", id="a slow volume"),
    ],
)  # fmt: skip
def test_a_run_with_a_fault_gets_its_finding(tmp_path, folder, name, given, message):
    found = findings_of(tmp_path, folder, **given)
    assert list(found) == [name]
    assert message in found[name]
