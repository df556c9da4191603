"""Whole runs on one rank: what is published, early stopping, bad luck. All runs are made once, the tests look at them."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_gangs import run_gangs
from prepared_runs import training_run, write_dataset, write_run
from safetensors.numpy import load_file
from tiny_models import sentences

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.dataset.shards import open_split
from tuneloop_trainer.methods.lora import LORA
from tuneloop_trainer.models.load_trained import load_trained
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION


@dataclass(frozen=True)
class Done:
    """A run that came to its end, as it was then."""

    config: RunConfig
    result: dict
    lines: list[dict]

    @property
    def evaluations(self) -> list[dict]:
        return [line for line in self.lines if line["kind"] == "evaluation"]

    def published_step(self) -> int:
        return json.loads(Path(self.result["weightsPath"], "method.json").read_text())["step"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model, dataset):
    """Four runs of one rank, by name."""
    stopping = {"earlyStopping": {"patience": 2}, "bestMetric": "loss", "learningRate": 1e-2, "scheduler": "constant"}
    wanted = {
        "full": {"output": {"checkpoint": "last"}},
        "lora": {"method": {"type": "lora", "rank": 4}},
        "stopped": {"training": {"maxSteps": 400} | stopping},
        "never": {"checkpoint": {"everySteps": 10, "resume": "never"}},
    }
    configs = {
        name: configured(tmp_path_factory.mktemp(name), tiny_model=tiny_model, dataset=dataset, **settings)
        for name, settings in wanted.items()
    }
    run_gangs([write_run(config, Path(config.paths.job_dir, "run.json")) for config in configs.values()])
    return {name: read_outcome(config) for name, config in configs.items()}


def configured(folder: Path, *, tiny_model: Path, dataset: Path, **settings) -> RunConfig:
    training = {
        "maxSteps": 40,
        "globalBatchSize": 16,
        "microBatchSize": 8,
        "learningRate": 1e-2,
        "bestMetric": "accuracy",
    }
    training |= {"evaluateEvery": {"steps": 10}} | settings.pop("training", {})
    defaults = {"method": {"type": "full"}, "checkpoint": {"everySteps": 10}, "gang": {"gpusPerNode": 0}}
    return training_run(folder, model=tiny_model, dataset=dataset, training=training, **defaults | settings)


def read_outcome(config: RunConfig) -> Done:
    job = Path(config.paths.job_dir)
    lines = (job / "logs" / "train.jsonl").read_text().splitlines()
    return Done(config, json.loads((job / "train.json").read_text()), list(map(json.loads, lines)))


def run_again(done: Done, **changes) -> Done:
    config = changed(done.config, **changes)
    run_gangs([write_run(config, Path(config.paths.job_dir, "again.json"))])
    return read_outcome(config)


def merged(model: Path, weights: Path) -> torch.nn.Module:
    return LORA.merge(load_trained(model, weights, task=TEXT_CLASSIFICATION))


@pytest.mark.parametrize("name", ["full", "lora"])
def test_the_published_weights_are_those_that_were_measured(runs, name, tiny_model, dataset):
    done, test = runs[name], open_split(dataset, "test")
    batch = TEXT_CLASSIFICATION.collate(test, np.arange(16), 0)
    inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
    weights = Path(done.result["weightsPath"])
    measured = load_file(done.result["predictions"]["test"])["logits"][:16]
    for model in [
        load_trained(tiny_model, weights, task=TEXT_CLASSIFICATION),
        *([merged(tiny_model, weights)] if name == "lora" else []),
    ]:
        with torch.no_grad():
            logits = model(**inputs).logits.numpy()
        assert logits == pytest.approx(measured, abs=1e-5)


def test_merged_adapters_leave_the_base_architecture(runs, tiny_model):
    done = runs["lora"]
    model = merged(tiny_model, Path(done.result["weightsPath"]))
    assert type(model).__name__ == "BertForSequenceClassification"
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


def test_lora_trains_adapters_and_the_head_alone(runs):
    names = load_file(Path(runs["lora"].result["weightsPath"], "trainable.safetensors")).keys()
    trained = {kind for name in names for kind in ("lora_A", "lora_B", "classifier.modules_to_save") if kind in name}
    assert trained == {"lora_A", "lora_B", "classifier.modules_to_save"}
    assert [name for name in names if "lora_" not in name and "modules_to_save" not in name] == []


def test_training_learns_what_holds_for_other_rows(runs):
    """Of all labels one in five is wrong, so that 0.8 is the best and 0.5 is chance."""
    done = runs["full"]
    losses = [line["loss"] for line in done.lines if line["kind"] == "step"]
    before = load_file(done.result["predictions"]["before-test"])
    after = load_file(done.result["predictions"]["test"])
    assert np.mean(losses[-5:]) < 0.9 * math.log(2) < np.mean(losses[:5])
    assert accuracy(before) < 0.6
    assert accuracy(after) > 0.7


def accuracy(predictions: dict) -> float:
    return float((predictions["logits"].argmax(axis=1) == predictions["labels"]).mean())


def test_the_last_weights_are_published_if_asked_for(runs):
    assert runs["full"].published_step() == runs["full"].result["last"]["step"] == 40


def test_early_stopping_publishes_the_best_weights(runs):
    done = runs["stopped"]
    losses = [line["loss"] for line in done.evaluations]
    best = done.evaluations[int(np.argmin(losses))]
    assert done.result["stoppedEarly"]
    assert done.result["steps"] == done.evaluations[-1]["step"] == best["step"] + 20 < 400
    assert done.result["best"]["value"] == best["loss"]
    assert done.published_step() == done.result["best"]["step"] == best["step"]


def test_a_run_that_is_over_stays_over(runs):
    done = runs["stopped"]
    before = load_file(done.result["predictions"]["validation"])
    again = run_again(done, attempt=2)
    assert again.result["startStep"] == again.result["steps"] == done.result["steps"]
    assert again.lines == done.lines
    assert again.published_step() == done.published_step()
    after = load_file(again.result["predictions"]["validation"])
    assert all((after[name] == before[name]).all() for name in before)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_job_that_started_without_checkpoints_resumes_whatever_starts_its_pods_again(runs, attempt):
    assert run_again(runs["never"], attempt=attempt).result["startStep"] == 40


def test_before_training_the_test_split_was_measured(runs, dataset):
    before = load_file(runs["full"].result["predictions"]["before-test"])
    test = open_split(dataset, "test")
    assert before["logits"].shape == (len(test.rows), 2)
    assert (before["rows"] == test.rows).all()
    assert (before["labels"] == TEXT_CLASSIFICATION.target_labels(test)).all()


def test_data_that_changed_before_the_first_checkpoint_is_measured_again(tmp_path, tiny_model, dataset):
    """A job that failed early is submitted again with corrected data, and uses the same folder."""
    run_gangs([write_run(brief(tmp_path, tiny_model, dataset), tmp_path / "first.json")])
    shutil.rmtree(tmp_path / "job" / "checkpoints")
    corrected, rows = tmp_path / "corrected", sentences(90)
    splits = {"train": rows[:40], "validation": rows[40:60], "test": rows[60:]}
    write_dataset(corrected, splits, model=tiny_model, max_tokens=32)
    again = brief(tmp_path, tiny_model, corrected)
    run_gangs([write_run(again, tmp_path / "again.json")])
    before = load_file(read_outcome(again).result["predictions"]["before-test"])
    assert (before["rows"] == open_split(corrected, "test").rows).all()


def brief(folder: Path, tiny_model: Path, dataset: Path) -> RunConfig:
    training = {"maxSteps": 2, "evaluateEvery": {"steps": 2}}
    return configured(folder, tiny_model=tiny_model, dataset=dataset, training=training)


def test_the_log_says_what_was_trained(runs):
    steps = [line for line in runs["full"].lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 41))
    assert all(
        line.keys() >= {"epoch", "loss", "grad_norm", "learning_rate", "tokens", "seconds", "padding"} for line in steps
    )
    assert [line["step"] for line in runs["full"].evaluations] == [10, 20, 30, 40]


def test_a_loss_that_is_not_finite_stops_training_before_anything_is_published(tmp_path, tiny_model, dataset):
    training = {
        "learningRate": 10.0,
        "maxGradNorm": 0,
        "weightDecay": 10.0,
        "warmupSteps": 0,
        "scheduler": "constant",
        "maxSteps": 400,
    }
    config = configured(tmp_path, tiny_model=tiny_model, dataset=dataset, training=training)
    run_json = write_run(config, tmp_path / "run.json")
    with pytest.raises(AssertionError, match="of step .* is (nan|inf)"):
        run_gangs([run_json])
    assert json.loads((tmp_path / "run.json.message.0").read_text())["failureClass"] == "NonFiniteLoss"
    assert not Path(config.paths.job_dir, "weights").exists()
