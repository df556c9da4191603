"""Texts with several labels through the whole trainer and the server: numbers that scikit-learn gives too, and answers that transformers gives too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_configs import run_config
from sentences_with_labels import labelled_sentences, write_json_lines
from server_process import configuration, running_fork
from sklearn import metrics as sklearn
from tiny_models import tiny_bert
from transformers import pipeline
from whole_job import FinishedJob, finished

from tuneloop_api.contract.monitoring_profile import MonitoringProfile

LABELS = ["dull", "happy", "praise"]


def whole_job(folder: Path, *, steps: int, ranks: int, **settings: Any) -> FinishedJob:
    config = run_config(
        folder,
        taskOptions={"problemType": "multi-label"},
        sources=[write_json_lines(folder / "train.jsonl", labelled_sentences(500))],
        model=tiny_bert(folder / "model"),
        method={"type": "full"},
        training={
            "maxSteps": steps,
            "learningRate": 5e-3,
            "microBatchSize": 8,
            "scheduler": "constant",
            "warmupRatio": 0.0,
            "bestMetric": "micro_f1",
        },
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 100},
        **{"evaluation": {"bootstrapSamples": 200}} | settings,
    )
    return finished(config)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> FinishedJob:
    """A model that was trained on two ranks, rehearsed, and published as ONNX, too."""
    folder = tmp_path_factory.mktemp("job")
    return whole_job(
        folder,
        steps=150,
        ranks=2,
        preflight={"rehearsal": True},
        output={"formats": ["safetensors", "onnx"]},
    )


@pytest.fixture(scope="module")
def scores(done) -> np.ndarray:
    """What plain transformers says of the test rows: [N, C] scores in the order of the labels."""
    classify = pipeline("text-classification", model=f"{done.artifact}/model", top_k=None)
    answers = classify([row["text"] for row in done.rows("test")])
    return np.array([[{a["label"]: a["score"] for a in answer}[label] for label in LABELS] for answer in answers])


@pytest.fixture(scope="module")
def truth(done) -> np.ndarray:
    return np.array([[label in row["label"] for label in LABELS] for row in done.rows("test")]).astype(int)


def test_the_labels_are_learned_and_the_loss_falls(done):
    losses = done.losses()
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:10])
    assert done.prepared.resolved.labels == LABELS
    assert done.trained.best.metric == "micro_f1"
    baselines = {baseline.name: baseline.value for baseline in done.exported.baselines}
    assert list(baselines) == ["majority", "tfidf-linear", "before-training"]
    assert baselines["majority"] == 0.0
    assert done.values()["micro_f1"] > max(0.6, baselines["before-training"])


def test_the_metrics_are_those_of_scikit_learn_on_what_plain_transformers_says(done, scores, truth):
    chosen, found = (scores > 0.5).astype(int), done.values()
    for average in ("micro", "macro", "weighted"):
        assert found[f"{average}_f1"] == pytest.approx(
            sklearn.f1_score(truth, chosen, average=average, zero_division=0)
        )
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, chosen))
    assert found["hamming_loss"] == pytest.approx(sklearn.hamming_loss(truth, chosen))
    assert found["macro_auroc"] == pytest.approx(sklearn.roc_auc_score(truth, scores, average="macro"), abs=1e-3)
    assert found["macro_average_precision"] == pytest.approx(sklearn.average_precision_score(truth, scores), abs=1e-3)
    losses = [sklearn.log_loss(truth[:, label], scores[:, label]) for label in range(len(LABELS))]
    assert found["log_loss"] == pytest.approx(np.mean(losses), abs=1e-4)


def test_the_server_answers_as_plain_transformers_does_and_counts_into_the_bins_of_export(done, scores, tmp_path):
    texts = [row["text"] for row in done.rows("test")]
    profile = MonitoringProfile.from_wire(json.loads((done.artifact / "monitoring.json").read_bytes()))
    with running_fork(configuration(done.artifact, batching={"max_queue": len(texts)}), tmp_path) as server:
        answers = server.ask({"inputs": texts}).json()
        counted = server.feature_counts()
    found = [[{a["label"]: a["score"] for a in answer}[label] for label in LABELS] for answer in answers]
    assert np.abs(np.array(found) - scores).max() < 1e-5
    assert counted == {feature.name: feature.counts for feature in profile.features}
    assert {"confidence", "predicted_labels", "predicted_label"} <= counted.keys()


def test_the_artifact_says_what_kind_of_model_it_holds(done):
    manifest = json.loads((done.artifact / "manifest.json").read_bytes())
    config = json.loads((done.artifact / "model" / "config.json").read_bytes())
    card = (done.artifact / "README.md").read_text()
    assert manifest["task"] == "text-classification/multi-label"
    assert manifest["onnx"].get("refusal") is None
    assert config["problem_type"] == "multi_label_classification"
    assert "pipeline_tag: text-classification" in card
    assert "Gives a text those of 3 labels that fit it, perhaps none: `dull`, `happy`, `praise`." in card
    assert "(column)" not in card


def test_one_rank_trains_the_same_model_and_is_compared_with_the_other(done, tmp_path):
    beside = {"uri": f"file://{done.artifact}"}
    alone = whole_job(
        tmp_path, steps=10, ranks=1, evaluation={"bootstrapSamples": 200, "baselines": False, "compareWith": beside}
    )
    assert alone.losses() == pytest.approx(done.losses()[:10], abs=1e-5)
    (golden,) = alone.exported.comparison.sets
    assert golden.champion == pytest.approx(done.values()["micro_f1"])
    assert alone.exported.comparison.metric == "micro_f1"
    assert alone.exported.comparison.verdict == "Worse"
    assert golden.low < golden.challenger - golden.champion < golden.high < 0
