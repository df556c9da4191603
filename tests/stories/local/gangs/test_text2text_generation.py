"""Texts for texts through the whole trainer: what it measured is what plain transformers writes with the published model, on any number of ranks."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked_gangs import run_gangs
from run_configs import run_config
from sacrebleu.metrics import BLEU, CHRF
from server_process import configuration, running_fork
from tiny_writers import reversed_words, tiny_writer, write_rows
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from whole_job import Job

from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_trainer.dataset.shards import read_rows

STEPS, SAVED = 24, 8


@dataclass(frozen=True)
class Done:
    job: Job
    prepared: PrepareResult
    trained: TrainResult
    exported: ExportResult
    losses: list[float]

    @property
    def artifact(self) -> Path:
        return Path(self.exported.artifact_path)

    def values(self) -> dict[str, float]:
        return {metric.name: metric.value for metric in self.exported.metrics}

    def test_rows(self) -> list[dict[str, Any]]:
        return [row for _, row in read_rows(Path(self.prepared.dataset_path), "test")]


def configured(folder: Path, *, ranks: int, rows: int = 240, **settings: Any) -> RunConfig:
    usual = {
        "taskOptions": {"sourcePrefix": "reverse : ", "maxTargetTokens": 6, "numBeams": 2},
        "checkpoint": {"everySteps": SAVED},
        "training": {"maxSteps": STEPS, "learningRate": 5e-3, "globalBatchSize": 16, "microBatchSize": 4, "scheduler": "constant"},
    }  # fmt: skip
    return run_config(
        folder,
        task="text2text-generation",
        sources=[write_rows(folder / "rows.jsonl", reversed_words(rows, most=3))],
        model=tiny_writer(folder / "model", "t5"),
        method={"type": "full"},
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        evaluation={"bootstrapSamples": 200},
        **usual | settings,
    )


def losses_of(job: Job) -> list[float]:
    lines = map(json.loads, (job.folder / "logs" / "train.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    job = Job(configured(tmp_path_factory.mktemp("job"), ranks=2))
    prepared, trained = job.prepare(), job.train()
    shutil.copytree(job.folder / "checkpoints", job.folder / "kept")  # export leaves the best alone
    return Done(job, prepared, trained, job.export(), losses_of(job))


@pytest.fixture(scope="module")
def written(done) -> list[str]:
    """What plain transformers writes for the test rows, with nothing but the published folder."""
    tokenizer = AutoTokenizer.from_pretrained(done.artifact / "model")
    model = AutoModelForSeq2SeqLM.from_pretrained(done.artifact / "model").eval()
    texts = [f"reverse : {row['source']}" for row in done.test_rows()]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)


def test_the_results_are_those_of_what_plain_transformers_writes_with_the_published_model(done, written):
    wanted, found = [row["target"] for row in done.test_rows()], done.values()
    assert done.losses[-1] < done.losses[0] - 0.5
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(written, [wanted]).score, abs=1e-4)
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(written, [wanted]).score, abs=1e-4)
    assert found["exact_match"] == pytest.approx(np.mean([a == b for a, b in zip(written, wanted, strict=True)]))
    assert found["chrf"] > 0


def test_the_model_is_measured_beside_the_source_its_first_sentences_and_itself_before_training(done):
    baselines = {baseline.name: baseline.value for baseline in done.exported.baselines}
    wanted, sources = ([row[name] for row in done.test_rows()] for name in ("target", "source"))
    assert list(baselines) == ["copy-source", "lead-3", "before-training"]
    assert baselines["copy-source"] == pytest.approx(CHRF().corpus_score(sources, [wanted]).score)
    assert done.exported.paired.name == "chrf_gain_over_lead_3"
    assert done.exported.paired.value == pytest.approx(done.values()["chrf"] - baselines["lead-3"])


def test_the_published_folder_says_how_the_model_writes(done):
    config = json.loads((done.artifact / "model" / "generation_config.json").read_text())
    assert (config["max_new_tokens"], config["num_beams"]) == (6, 2)
    assert json.loads((done.artifact / "model" / "config.json").read_text()).get("use_cache", True)
    assert json.loads((done.artifact / "manifest.json").read_text())["task"] == "text2text-generation"
    assert "AutoModelForSeq2SeqLM" in (done.artifact / "README.md").read_text()


def test_a_server_adds_the_prefix_of_the_job_and_writes_what_was_measured(done, written, tmp_path):
    sources = [row["source"] for row in done.test_rows()]
    with running_fork(configuration(done.artifact), tmp_path) as server:
        answered = server.ask({"inputs": sources}).json()
    assert [of_text[0]["generated_text"] for of_text in answered] == written


def test_three_ranks_go_on_from_a_checkpoint_of_two_and_write_the_same_texts(done):
    shutil.rmtree(done.job.folder / "checkpoints")
    shutil.copytree(
        done.job.folder / "kept", done.job.folder / "checkpoints", ignore=lambda *_: [f"step-{STEPS:0>8}-a1"]
    )
    job = Job(configured(done.job.folder.parent, ranks=3))
    job.prepared = done.job.prepared
    trained = job.train(attempt=2)
    assert trained.start_step == STEPS - SAVED
    assert losses_of(job)[-SAVED:] == pytest.approx(done.losses[-SAVED:], abs=1e-5)
    assert {metric.name: metric.value for metric in job.export().metrics} == pytest.approx(done.values(), abs=1e-4)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_tiny_t5_learns_to_reverse_words_that_it_has_not_seen_together(tmp_path):
    training = {
        "maxSteps": 800,
        "learningRate": 4e-3,
        "globalBatchSize": 32,
        "microBatchSize": 16,
        "dropout": 0.0,
        "evaluateEvery": {"steps": 400},
    }
    few = {"taskOptions": {"maxTargetTokens": 6}, "checkpoint": {"everySteps": 800}, "training": training}
    job = Job(configured(tmp_path, ranks=1, rows=1800, **few), train=partial(run_gangs, timeout=1000.0))
    job.prepare()
    job.train()
    found = {metric.name: metric.value for metric in job.export().metrics}
    assert found["exact_match"] >= 0.95
