"""Texts with a number through the whole trainer and the server: errors that scikit-learn gives too, and answers that transformers gives too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from run_configs import run_config
from sentences_with_numbers import numbered_sentences, write_json_lines
from server_process import configuration, running_fork
from sklearn import metrics as sklearn
from tiny_models import tiny_bert
from transformers import pipeline
from whole_job import FinishedJob, finished

from tuneloop_api.contract.monitoring_profile import MonitoringProfile


def whole_job(folder: Path, *, steps: int, ranks: int, **settings: Any) -> FinishedJob:
    config = run_config(
        folder,
        taskOptions={"problemType": "regression"},
        sources=[write_json_lines(folder / "train.jsonl", numbered_sentences(500))],
        model=tiny_bert(folder / "model"),
        training={
            "maxSteps": steps,
            "learningRate": 5e-3,
            "microBatchSize": 8,
            "scheduler": "constant",
            "warmupRatio": 0.0,
            "bestMetric": "rmse",
        },
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 100},
        **{"evaluation": {"bootstrapSamples": 200}, "method": {"type": "full"}} | settings,
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
def numbers(done) -> np.ndarray:
    """What plain transformers says of the test rows, [N]."""
    predict = pipeline("text-classification", model=f"{done.artifact}/model", function_to_apply="none", top_k=None)
    return np.array([answer[0]["score"] for answer in predict([row["text"] for row in done.rows("test")])])


@pytest.fixture(scope="module")
def truth(done) -> np.ndarray:
    return np.array([row["label"] for row in done.rows("test")])


def test_the_numbers_are_learned_in_the_users_unit_and_the_best_checkpoint_errs_least(done, numbers, truth):
    losses = done.losses()
    assert losses[0] < 5
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:10])
    assert abs(numbers - truth).mean() < 20
    assert done.prepared.rehearsal.startswith("trained, saved, exported and loaded")
    lines = map(json.loads, (done.job.folder / "logs" / "train.jsonl").read_text().splitlines())
    errors = [line["rmse"] for line in lines if line["kind"] == "evaluation"]
    assert done.trained.best.metric == "rmse"
    assert done.trained.best.value == min(errors)
    baselines = {baseline.name: baseline.value for baseline in done.exported.baselines}
    assert list(baselines) == ["mean", "tfidf-ridge", "before-training"]
    assert baselines["mean"] == pytest.approx(0.0, abs=0.1)
    assert baselines["tfidf-ridge"] > 0.9


def test_the_metrics_are_those_of_scikit_learn_and_scipy_on_what_plain_transformers_says(done, numbers, truth):
    found = done.values()
    assert found["rmse"] == pytest.approx(sklearn.root_mean_squared_error(truth, numbers), rel=1e-3)
    assert found["mae"] == pytest.approx(sklearn.mean_absolute_error(truth, numbers), rel=1e-3)
    assert found["r2"] == pytest.approx(sklearn.r2_score(truth, numbers), abs=1e-3)
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(truth, numbers).statistic, abs=1e-3)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(truth, numbers).statistic, abs=1e-3)


def test_the_server_answers_as_plain_transformers_does_and_counts_into_the_bins_of_export(done, numbers, tmp_path):
    texts = [row["text"] for row in done.rows("test")]
    profile = MonitoringProfile.from_wire(json.loads((done.artifact / "monitoring.json").read_bytes()))
    with running_fork(configuration(done.artifact, batching={"max_queue": len(texts)}), tmp_path) as server:
        answers = server.ask({"inputs": texts}).json()
        counted = server.feature_counts()
    assert {answer[0]["label"] for answer in answers} == {"LABEL_0"}
    assert np.array([answer[0]["score"] for answer in answers]) == pytest.approx(numbers, rel=1e-6)
    assert counted == {feature.name: feature.counts for feature in profile.features}
    assert "predicted_value" in counted
    assert "confidence" not in counted


def test_the_artifact_says_what_kind_of_model_it_holds(done):
    manifest = json.loads((done.artifact / "manifest.json").read_bytes())
    config = json.loads((done.artifact / "model" / "config.json").read_bytes())
    card = (done.artifact / "README.md").read_text()
    train = np.array([row["label"] for row in done.rows("train")])
    assert manifest["task"] == "text-classification/regression"
    assert manifest["targetScale"] == pytest.approx({"mean": train.mean(), "std": train.std()})
    assert manifest["onnx"].get("refusal") is None
    assert config["problem_type"] == "regression"
    assert "Predicts a number for a text" in card
    assert "## Classes" not in card


def test_prepared_data_of_numbers_have_a_version_that_earlier_releases_refuse(done):
    assert json.loads((Path(done.prepared.dataset_path) / "dataset.json").read_bytes())["version"] == 2


def test_the_report_has_the_quantiles_of_each_split(done):
    report = json.loads(Path(done.prepared.report_path).read_text())
    for split in ("train", "validation", "test"):
        values = [row["label"] for row in done.rows(split)]
        assert report["numbers"][split]["50"] == pytest.approx(np.median(values))
        assert report["numbers"][split]["100"] == max(values)


def test_one_rank_trains_the_same_model(done, tmp_path):
    alone = whole_job(tmp_path, steps=10, ranks=1, evaluation={"bootstrapSamples": 200, "baselines": False})
    assert alone.losses() == pytest.approx(done.losses()[:10], abs=1e-5)
