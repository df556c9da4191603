"""A task and a method that the trainer has never heard of, defined in this file alone, go the whole way: prepare, train, resume, export.

The task: every token of a text votes for the text's class. The method: the new head alone is trained.
"""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import start_and_wait
from run_configs import run_config
from safetensors.numpy import load_file
from tiny_models import sentences, tiny_bert
from torch.nn.functional import cross_entropy
from whole_job import Job

from tuneloop_api.contract.results import ExportResult, TrainResult
from tuneloop_api.features.task_features import TaskFeatures
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, open_split
from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import accuracy, class_prior_entropy, confusion_matrix, log_losses, per_class
from tuneloop_trainer.evaluation.paired_scores import PairedScores
from tuneloop_trainer.evaluation.predictions import Predictions, likeliest_class, read_predictions
from tuneloop_trainer.methods import METHODS
from tuneloop_trainer.methods.method import Method
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Task


def encode(tokenizer: Any, rows: Any, label_ids: Any) -> list[EncodedRow]:
    encoded = tokenizer([row["text"] for row in rows], return_special_tokens_mask=True)
    return [
        EncodedRow(
            input_ids=np.array(ids, dtype=np.int32),
            token_columns={LABELS: np.where(np.array(special), IGNORED, label_ids[row["label"]]).astype(np.int32)},
        )
        for row, ids, special in zip(rows, encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ]


def collate(split: Any, rows: Any, pad_id: int) -> Batch:
    labels = padded(partial(split.token_column, LABELS), rows, lengths=split.lengths[rows], fill=IGNORED)
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=labels)


def target_labels(split: Any) -> Any:
    rows = [split.token_column(LABELS, row) for row in range(len(split.rows))]
    return np.concatenate([row[row != IGNORED] for row in rows]).astype(np.int64)


def loss_sum(output: Any, labels: Any, smoothing: float) -> Any:
    flat = output.logits.float().flatten(0, 1)
    return cross_entropy(flat, labels.flatten(), reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing)


def confusion(predictions: Any, predicted: Any) -> Any:
    return confusion_matrix(predictions.labels, predicted, classes=predictions.values.shape[1])


def evaluate(*, validation: Any, test: Any, labels: Any, bootstrap: Any) -> Evaluation:
    del validation  # no temperature is fitted
    table, losses = confusion(test, test.predicted), log_losses(test.values, test.labels)
    found = {"accuracy": bootstrap.of_confusion(table, accuracy)}
    for name in ("log_loss", "log_loss_calibrated", "ece", "ece_calibrated"):
        found[name] = bootstrap.of_mean(losses)
    scores = dict(zip(labels, per_class(table), strict=True))
    metrics = [measured(name, interval) for name, interval in found.items()]
    return Evaluation(metrics=metrics, confusion=table, classes=scores, temperature=1.0)


def paired(test: Predictions, champion: Any, _labels: Any) -> list[PairedScores]:
    challenger, other = (
        np.stack(
            [np.bincount(test.row_of_target, weights=hits, minlength=len(test.rows)), np.diff(test.offsets)], axis=1
        )
        for hits in (test.predicted == test.labels, champion == test.labels)
    )
    return [
        PairedScores(
            name=None,
            rows=np.arange(len(test.rows)),
            challenger=challenger.astype(np.int64),
            champion=other.astype(np.int64),
            statistic=lambda sums: sums[..., 0] / sums[..., 1],
            errors=lambda sums: sums[..., 1] - sums[..., 0],
            zero_one=False,
        )
    ]


def fit_baselines(dataset: Path, *, seed: int, beat: Any) -> list[Baseline]:
    del seed, beat
    commonest = np.bincount(target_labels(open_split(dataset, "train"))).argmax()
    return [Baseline(name="commonest", predicted=np.full(open_split(dataset, "test").targets.sum(), commonest))]


TOKEN_VOTES = Task(
    name="token-votes",
    auto_class="AutoModelForTokenClassification",
    architectures="MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    problem_type=None,
    peft_type="TOKEN_CLS",
    formats=("text-label",),
    text_of=lambda row: row["text"],
    encode=encode,
    with_all_tokens=None,
    collate=collate,
    target_labels=target_labels,
    loss_sum=loss_sum,
    target_values=lambda output, labels: output.logits[labels != IGNORED],
    prior_loss=lambda split: class_prior_entropy(target_labels(split)),
    primary_metric="accuracy",
    metrics=lambda predictions, _labels: {
        "loss": float(log_losses(predictions.values, predictions.labels).mean()),
        "accuracy": float(accuracy(confusion(predictions, predictions.predicted))),
    },
    evaluate=evaluate,
    choose=likeliest_class,
    calibration_error=None,
    score=lambda test, predicted, _labels, bootstrap: bootstrap.of_confusion(confusion(test, predicted), accuracy),
    gain=lambda test, baseline, _labels, bootstrap: bootstrap.of_accuracy_difference(
        test.predicted == test.labels, baseline == test.labels
    ),
    paired=paired,
    fit_baselines=fit_baselines,
    rival="commonest",
    rival_title="the commonest class",
    features=TaskFeatures(numbers=("votes",), choices={}, values=lambda logits, labels: {"votes": len(logits)}),
    card=CardTexts(
        title="Votes of tokens",
        summary=lambda labels: f"Lets each token vote for one of {len(labels)} classes.",
        unit="test tokens",
        confusion="Test tokens by true class (line) and vote (column):",
        function="softmax",
        calibrated="test tokens",
        limits=("Every token has one vote.",),
        loading=lambda temperature: f"print({temperature})\n",
    ),
)


def build_head_only(model: Any, settings: Any, *, task: Any, seed: int) -> Any:
    del settings, task, seed
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(name.startswith(f"{module}.") for module in model.new_modules))
    return model


HEAD_ONLY = Method(
    name="head-only",
    build=build_head_only,
    merge=None,
    is_adapter=False,
    learning_rates={"encoder": 1e-2, "decoder": 1e-2, "encoder-decoder": 1e-2},
    describe=lambda _settings, _merged: "the new head alone",
)


def train_one_rank(path: str) -> None:
    """Be one rank of a run; this file was loaded by the rank's process, too."""
    from forked_gangs import train

    TASKS[TOKEN_VOTES.name], METHODS[HEAD_ONLY.name] = TOKEN_VOTES, HEAD_ONLY
    train(path)


def run_gang(paths: Any) -> None:
    for path in paths:
        done = start_and_wait(Path(__file__), "train_one_rank", world_size=2, path=str(path))
        assert set(done.exit_codes) == {0}, done.output


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setitem(TASKS, TOKEN_VOTES.name, TOKEN_VOTES)
    monkeypatch.setitem(METHODS, HEAD_ONLY.name, HEAD_ONLY)
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *sentences(300)])
    config = run_config(
        tmp_path,
        task=TOKEN_VOTES.name,
        method={"type": HEAD_ONLY.name},
        model=tiny_bert(tmp_path / "model"),
        training={"maxSteps": 12, "microBatchSize": 8},
        gang={"gpusPerNode": 0, "processesPerNode": 2},
        deepspeed={"stage": 2},
        checkpoint={"everySteps": 4, "keepLast": 3},
        evaluation={"bootstrapSamples": 200},
    )
    return Job(config, train=run_gang)


def test_a_task_and_a_method_of_a_stranger_go_the_whole_way(job):
    prepared = job.prepare()
    assert prepared.resolved.learning_rate == 1e-2
    first = job.train()
    weights = load_file(Path(first.weights_path, "trainable.safetensors"))
    assert sorted(weights) == ["classifier.bias", "classifier.weight"]

    resumed = _train_again_from(job, step=8)
    again = load_file(Path(resumed.weights_path, "trainable.safetensors"))
    assert all(np.array_equal(weights[name], again[name]) for name in weights)

    exported = job.export()
    _check_artifact(exported, resumed, rows=prepared.counts.splits["test"])


def _train_again_from(job: Job, *, step: int) -> TrainResult:
    """Take the newest checkpoints away, and train from the one of this step."""
    for path in (job.folder / "checkpoints").glob("step-*"):
        if int(path.name.split("-")[1]) > step:
            path.rename(path.with_name(f"lost-{path.name}"))
    result = job.train(attempt=2)
    assert (result.start_step, result.steps) == (step, 12)
    return result


def _check_artifact(exported: ExportResult, trained: TrainResult, *, rows: int) -> None:
    predictions = read_predictions(Path(trained.predictions["test"]))
    assert len(predictions.rows) == rows < len(predictions.labels)
    assert [baseline.name for baseline in exported.baselines] == ["commonest", "before-training"]
    assert exported.paired.name == "accuracy_gain_over_commonest"
    card = (Path(exported.artifact_path) / "README.md").read_text()
    assert "Lets each token vote for one of 2 classes." in card
    assert "head-only (the new head alone)" in card
    profile = json.loads((Path(exported.artifact_path) / "monitoring.json").read_bytes())
    (votes,) = (feature for feature in profile["features"] if feature["name"] == "votes")
    assert sum(votes["counts"]) == rows
