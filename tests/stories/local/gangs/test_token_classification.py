"""Token classification through the whole trainer: from CoNLL files to an artifact whose numbers mean something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_configs import run_config
from safetensors.numpy import load_file
from server_process import configuration, running_fork
from tagged_sentences import tagged_sentences
from tiny_models import tiny_bert
from transformers import pipeline
from whole_job import Job

from tuneloop_api.contract.monitoring_profile import MonitoringProfile
from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_trainer.dataset.shards import read_rows
from tuneloop_trainer.evaluation.predictions import read_predictions
from tuneloop_trainer.evaluation.spans import find_spans, read_tags


@dataclass(frozen=True)
class Done:
    job: Job
    prepared: PrepareResult
    trained: TrainResult
    exported: ExportResult

    def values(self) -> dict[str, float]:
        return {metric.name: metric.value for metric in self.exported.metrics}


def write_conll(path: Path, rows: list[tuple[list[str], list[str]]]) -> Path:
    sentences = ("\n".join(f"{word} {tag}" for word, tag in zip(*row, strict=True)) for row in rows)
    path.write_text("\n\n".join(sentences) + "\n")
    return path


def whole_job(folder: Path, *, method: str, steps: int, **evaluation: Any) -> Done:
    config = run_config(
        folder,
        task="token-classification",
        sources=[write_conll(folder / "train.conll", tagged_sentences(500))],
        model=tiny_bert(folder / "model"),
        method={"type": method},
        training={"maxSteps": steps, "learningRate": 1e-2, "microBatchSize": 16, "bestMetric": "span_f1"},
        gang={"gpusPerNode": 0, "processesPerNode": 2},
        deepspeed={"stage": 2},
        checkpoint={"everySteps": 100},
        evaluation={"bootstrapSamples": 200} | evaluation,
    )
    job = Job(config)
    return Done(job, job.prepare(), job.train(), job.export())


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    return whole_job(tmp_path_factory.mktemp("job"), method="full", steps=250)


def test_the_spans_are_learned(done):
    assert done.values()["span_f1"] > 0.7
    assert done.trained.best.metric == "span_f1"


def test_the_model_finds_more_than_the_most_frequent_tag_of_each_word_does(done):
    baselines = {baseline.name: baseline.value for baseline in done.exported.baselines}
    assert list(baselines) == ["majority", "most-frequent-tag", "before-training"]
    assert baselines["majority"] == 0.0
    assert 0.2 < baselines["most-frequent-tag"] < done.values()["span_f1"]
    assert done.exported.paired.name == "span_f1_gain_over_most_frequent_tag"
    assert done.exported.paired.low > 0


def test_every_metric_but_the_calibration_error_has_an_interval(done):
    without = {metric.name for metric in done.exported.metrics if metric.low is None}
    assert without == {"ece", "ece_calibrated"}
    assert all(metric.low <= metric.value <= metric.high for metric in done.exported.metrics if metric.low is not None)


def test_every_word_of_the_test_split_has_a_prediction(done):
    predictions = read_predictions(Path(done.trained.predictions["test"]))
    assert len(predictions.rows) == done.prepared.counts.splits["test"]
    assert predictions.values.shape == (len(predictions.labels), 5)
    assert np.diff(predictions.offsets).min() >= 3  # the shortest sentence has three words


def test_a_pipeline_on_the_published_model_finds_the_spans_that_training_measured(done):
    find = pipeline("token-classification", model=f"{done.exported.artifact_path}/model", aggregation_strategy="first")
    predictions = read_predictions(Path(done.trained.predictions["test"]))
    tags = read_tags(done.prepared.resolved.labels)
    spans = find_spans(predictions.predicted, predictions.offsets, tags)
    rows = list(read_rows(Path(done.prepared.dataset_path), "test"))
    words = [word for _, row in rows for word in row["tokens"]]
    expected = [
        (tags.types[type_], " ".join(words[first : last + 1]))
        for first, last, type_ in zip(spans.first, spans.last, spans.type, strict=True)
    ]
    found = [(span["entity_group"], span["word"]) for _, row in rows for span in find(" ".join(row["tokens"]))]
    assert len(expected) > 20
    assert found == expected


def test_a_server_that_is_asked_the_test_rows_counts_them_into_the_bins_that_export_did(done, tmp_path):
    artifact = Path(done.exported.artifact_path)
    profile = MonitoringProfile.from_wire(json.loads((artifact / "monitoring.json").read_bytes()))
    texts = [" ".join(row["tokens"]) for _, row in read_rows(Path(done.prepared.dataset_path), "test")]
    with running_fork(configuration(artifact, batching={"max_queue": len(texts)}), tmp_path) as server:
        assert server.ask({"inputs": texts}).status_code == 200
        counted = server.feature_counts()
    assert counted == {feature.name: feature.counts for feature in profile.features}
    assert {"entity_words", "entity_type", "lowest_confidence"} <= counted.keys()


def test_the_model_card_names_types_tags_and_scores(done):
    card = (Path(done.exported.artifact_path) / "README.md").read_text()
    assert "Finds spans of 2 types in a text: `LOC`, `PER`." in card
    assert "| span_f1 of | value |" in card
    assert "| class | precision | recall | F1 | test spans |" in card
    assert "Test words by true tag (line) and predicted tag (column):" in card
    assert "Against the most frequent tag of each word on the same rows" in card


def test_the_memory_of_a_rank_is_planned(done):
    assert done.prepared.memory.total > done.prepared.memory.weights > 0


@pytest.fixture(scope="module")
def bitfit(tmp_path_factory, done) -> tuple[Path, Done]:
    """A model that has hardly learned, beside the one that has."""
    folder = tmp_path_factory.mktemp("bitfit")
    beside = {"uri": f"file://{done.exported.artifact_path}"}
    return folder, whole_job(folder, method="bitfit", steps=10, compareWith=beside)


def test_the_spans_of_two_models_are_compared_on_the_same_rows(done, bitfit):
    _, challenger = bitfit
    (golden,) = challenger.exported.comparison.sets
    assert challenger.exported.comparison.verdict == "Worse"
    assert golden.champion == pytest.approx(done.values()["span_f1"])
    assert golden.challenger == pytest.approx(challenger.values()["span_f1"])
    assert golden.low < golden.challenger - golden.champion < golden.high < -0.03


def test_bitfit_publishes_a_whole_model_in_which_only_biases_and_the_head_differ(bitfit):
    tmp_path, done = bitfit
    artifact = Path(done.exported.artifact_path)
    assert json.loads((artifact / "manifest.json").read_text())["task"] == "token-classification"
    assert [path.name for path in artifact.iterdir() if path.is_dir()] == ["model"]
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "model", artifact / "model"))
    kept = {name: f"bert.{name}" for name in before if f"bert.{name}" in after}
    moved = {name for name, theirs in kept.items() if not np.array_equal(before[name], after[theirs])}
    assert moved == {name for name in kept if name.endswith("bias")}
    card = (artifact / "README.md").read_text()
    assert "bitfit (the bias terms, and the head)" in card
