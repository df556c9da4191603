"""Conversations through the whole trainer: the same losses on any number of ranks and after a restart, and a model that plain transformers writes with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from run_configs import run_config
from server_process import configuration, running_fork
from tiny_language_models import CHATML, END_OF_TURN, conversations, tiny_byte_tokenizer, tiny_decoder, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer
from whole_job import Job

from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, open_split, read_rows
from tuneloop_trainer.export.generated_answers import MOST_TOKENS

STEPS, SAVED = 12, 8


@dataclass(frozen=True)
class Done:
    job: Job
    prepared: PrepareResult
    trained: TrainResult

    def losses(self) -> list[float]:
        """Of the steps, each as it was last made."""
        lines = map(json.loads, (self.job.folder / "logs" / "train.jsonl").read_text().splitlines())
        return [
            loss for _, loss in sorted({line["step"]: line["loss"] for line in lines if line["kind"] == "step"}.items())
        ]


def trained_on(folder: Path, *, ranks: int, **settings: Any) -> Done:
    folder.mkdir(exist_ok=True)
    model = tiny_decoder(folder / "model", family="smollm", template=None)
    tiny_byte_tokenizer(template=None, end=END_OF_TURN).save_pretrained(model)
    config = run_config(
        folder,
        task="text-generation",
        model_source={"chatTemplate": CHATML},
        sources=[write_rows(folder / "train.jsonl", conversations(120))],
        model=model,
        method={"type": "full"},
        training={
            "maxSteps": STEPS,
            "learningRate": 1e-2,
            "globalBatchSize": 24,
            "microBatchSize": 4,
            "scheduler": "constant",
            "warmupRatio": 0.0,
            "bestMetric": "bits_per_byte",
        },
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": SAVED, "keepLast": 10, "cleanup": "KeepAll"},
        **{"evaluation": {"bootstrapSamples": 200}} | settings,
    )
    job = Job(config)
    return Done(job, job.prepare(), job.train())


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    """Two ranks, after a rehearsal."""
    return trained_on(tmp_path_factory.mktemp("two"), ranks=2, preflight={"rehearsal": True})


@pytest.fixture(scope="module")
def exported(done) -> ExportResult:
    return done.job.export()


@pytest.fixture(scope="module")
def model(exported) -> Any:
    return AutoModelForCausalLM.from_pretrained(f"{exported.artifact_path}/model").eval()


def test_the_loss_falls_and_the_job_is_rehearsed(done):
    assert done.losses()[-1] < 0.75 * done.losses()[0]
    assert done.trained.best.metric == "bits_per_byte"
    assert done.prepared.rehearsal.startswith("trained, saved, exported and loaded this model")


def test_three_ranks_have_the_same_losses(done, tmp_path):
    assert trained_on(tmp_path, ranks=3).losses() == pytest.approx(done.losses(), abs=1e-5)


def test_one_rank_has_the_same_losses_and_its_model_is_compared_with_the_other(done, exported, tmp_path):
    beside = {"bootstrapSamples": 200, "baselines": False, "compareWith": {"uri": f"file://{exported.artifact_path}"}}
    alone = trained_on(tmp_path, ranks=1, evaluation=beside)
    assert alone.losses() == pytest.approx(done.losses(), abs=1e-5)
    comparison = alone.job.export().comparison
    (golden,) = comparison.sets
    assert comparison.metric == "bits_per_byte"
    assert golden.champion == pytest.approx({m.name: m.value for m in exported.metrics}["bits_per_byte"], abs=1e-4)
    assert golden.challenger == pytest.approx(golden.champion, abs=1e-4)
    assert comparison.verdict != "Worse"


def test_the_metrics_are_those_of_plain_transformers(done, exported, model):
    split = open_split(Path(done.prepared.dataset_path), "test")
    total = targets = 0.0
    for row in range(len(split.rows)):
        ids = torch.tensor(split.tokens(row).astype(int))[None]
        labels = torch.tensor(split.token_column(LABELS, row).astype(int))
        plain = torch.cat([torch.tensor([IGNORED]), labels[:-1]])[None]
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=plain).loss) * int(split.targets[row])
        targets += int(split.targets[row])
    found = {metric.name: metric.value for metric in exported.metrics}
    assert found["loss"] == pytest.approx(total / targets, abs=1e-5)
    assert found["perplexity"] == pytest.approx(torch.tensor(total / targets).exp().item(), rel=1e-5)
    assert {baseline.name for baseline in exported.baselines} == {"n-gram", "before-training"}


def test_the_artifact_writes_as_the_trained_weights_do_and_knows_its_template(done, exported, model):
    folder = f"{exported.artifact_path}/model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == CHATML
    _, row = next(iter(read_rows(Path(done.prepared.dataset_path), "test")))
    asked = tokenizer.apply_chat_template(
        row["messages"][:1], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    written = model.generate(**asked, max_new_tokens=12, do_sample=False)[0, asked["input_ids"].shape[1] :]
    ids = asked["input_ids"]
    for token in written.tolist():
        assert int(model(input_ids=ids).logits[0, -1].argmax()) == token
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert json.loads(Path(folder, "config.json").read_text())["use_cache"]
    assert tokenizer.eos_token_id in model.generation_config.eos_token_id, "answers would never end"


def test_the_artifact_says_what_it_is(exported):
    artifact = Path(exported.artifact_path)
    manifest = json.loads((artifact / "manifest.json").read_bytes())
    assert (manifest["task"], manifest["labels"], manifest["temperature"]) == ("text-generation", [], 1.0)
    card = (artifact / "README.md").read_text()
    assert "pipeline_tag: text-generation" in card
    assert "bits_per_byte of" in card
    profile = json.loads((artifact / "monitoring.json").read_bytes())
    assert {"text_characters", "text_tokens"} <= {feature["name"] for feature in profile["features"]}


def test_a_server_counts_answers_as_the_export_did(done, exported, tmp_path):
    profile = json.loads((Path(exported.artifact_path) / "monitoring.json").read_bytes())
    reference = {feature["name"]: feature["counts"] for feature in profile["features"]}
    rows = [row["messages"][:-1] for _, row in read_rows(Path(done.prepared.dataset_path), "test")]
    with running_fork(configuration(Path(exported.artifact_path), digest=exported.digest), tmp_path) as server:
        for messages in rows:
            asked = {"messages": messages, "max_tokens": MOST_TOKENS, "temperature": 0}
            assert server.client.post("/v1/chat/completions", json=asked).status_code == 200
        counted = server.feature_counts()
    of_answers = {"answer_tokens", "mean_logprob", "repetition", "finish_reason", "answer_kind"}
    assert {name: counted[name] for name in of_answers} == {name: reference[name] for name in of_answers}
    assert sum(counted["finish_reason"]) == len(rows)


def test_a_restart_goes_on_with_the_same_losses(done):
    before = done.losses()
    for name in ("best", "last"):
        newest = Path(getattr(done.trained, name).path)
        if newest.name.startswith(f"step-{STEPS:08d}"):
            shutil.rmtree(newest, ignore_errors=True)
    (done.job.folder / "train.json").unlink()
    again = done.job.train(attempt=2)
    assert again.start_step == SAVED
    assert done.losses() == pytest.approx(before, abs=1e-6)
