"""A masked language model goes on learning on texts of a domain: it predicts them better than before, is served, and is the model that another job begins with."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from run_configs import run_config
from safetensors.torch import load_file
from server_process import configuration, running_fork
from tiny_masked import MASK, save_masked
from tiny_models import write_csv
from transformers import pipeline
from whole_job import FinishedJob, Job

from tuneloop_api.contract.monitoring_profile import MonitoringProfile
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, open_split
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import TASKS


class Done(FinishedJob):
    @property
    def dataset(self) -> Path:
        return Path(self.prepared.dataset_path)


def documents(count: int) -> list[str]:
    """Distinct texts of a domain: after each word comes one of two others, so that a word can be told from those around it."""
    source = random.Random(0)
    words = ["Ada", "met", "Charles", "in", "London", "near", "Square", "Berg", "ist", "der"]
    texts = {}
    while len(texts) < count:
        place, text = source.randrange(len(words)), []
        for _ in range(source.randint(4, 7)):
            text.append(words[place])
            place = (place + source.choice((1, 2))) % len(words)
        texts[" ".join(text)] = None
    return list(texts)


def whole_job(folder: Path, model: Path, *, steps: int, ranks: int, **settings: Any) -> Done:
    (folder / "reports.txt").write_text("\n".join(documents(900)))
    config = run_config(
        folder,
        task="fill-mask",
        taskOptions={"wholeWord": True, "maskProbability": 0.2},
        sources=[folder / "reports.txt"],
        model=model,
        training={
            "maxSteps": steps,
            "learningRate": 1e-2,
            "microBatchSize": 8,
            "scheduler": "constant",
            "warmupRatio": 0.0,
        },
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 100},
        **{"evaluation": {"bootstrapSamples": 200}, "method": {"type": "full"}} | settings,
    )
    job = Job(config)
    return Done(job, job.prepare(), job.train(), job.export())


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Done:
    """A model that was trained on two ranks."""
    folder = tmp_path_factory.mktemp("job")
    return whole_job(folder, save_masked(folder / "base", "bert", max_tokens=48, std=None), steps=160, ranks=2)


def test_the_model_predicts_the_domain_better_than_before_and_than_the_frequencies_of_tokens(done):
    baselines = {baseline.name: baseline for baseline in done.exported.baselines}
    assert list(baselines) == ["unigram", "before-training"]
    assert done.exported.paired.name == "bits_per_masked_byte_gain_over_unigram"
    assert done.exported.paired.low > 0
    assert done.values()["bits_per_masked_byte"] < baselines["unigram"].value < baselines["before-training"].value


def test_the_loss_is_that_of_plain_transformers_on_the_same_masks(done):
    model = torch.nn.Module.eval(pipeline("fill-mask", model=f"{done.artifact}/model").model)
    split = open_split(done.dataset, "test")
    total, targets = 0.0, 0
    for row in range(len(split.rows)):
        batch = TASKS["fill-mask"].collate(split, torch.tensor([row]).numpy(), 0)
        written = torch.from_numpy(split.token_column(LABELS, row).astype("int64"))[None]
        with torch.no_grad():
            mean = model(
                **{name: torch.from_numpy(values) for name, values in batch.inputs.items()}, labels=written
            ).loss
        count = int((written != IGNORED).sum())
        total, targets = total + float(mean) * count, targets + count
    assert done.values()["loss"] == pytest.approx(total / targets, rel=1e-4)


def test_the_server_answers_as_plain_transformers_does_and_counts_the_texts(done, tmp_path):
    texts = [f"{MASK} met Charles in London", f"Ada {MASK} {MASK} in London", "Berg ist der " + MASK]
    plain = pipeline("fill-mask", model=f"{done.artifact}/model", top_k=3)
    profile = MonitoringProfile.from_wire(json.loads((done.artifact / "monitoring.json").read_bytes()))
    with running_fork(configuration(done.artifact), tmp_path) as server:
        answers = server.ask({"inputs": texts, "parameters": {"top_k": 3}}).json()
        refused = server.ask({"inputs": "no such token"})
        counted = server.feature_counts()
    for answer, expected in zip(answers, map(plain, texts), strict=True):
        masks = answer if isinstance(answer[0], list) else [answer]
        wanted = expected if isinstance(expected[0], list) else [expected]
        assert [[item["sequence"] for item in mask] for mask in masks] == [
            [item["sequence"] for item in mask] for mask in wanted
        ]
        assert [[item["score"] for item in mask] for mask in masks] == [pytest.approx([item["score"] for item in mask], rel=1e-4) for mask in wanted]  # fmt: skip
    assert refused.status_code == 422
    assert "has no mask token" in refused.text
    assert counted.keys() == {feature.name for feature in profile.features}
    assert sum(counted["text_characters"]) == len(texts)


def test_another_job_begins_with_what_was_learned(done, tmp_path):
    rows = [(text, "even" if number % 2 else "odd") for number, text in enumerate(documents(60))]
    model = done.artifact / "model"
    Job(run_config(tmp_path, sources=[write_csv(tmp_path / "train.csv", rows)], model=model)).prepare()
    head = {"task": TASKS["text-classification"], "labels": ["even", "odd"]}
    loaded: Any = load_model(model, **head, pad_token_id=0, dropout=None, seed=0)
    learned = load_file(model / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(loaded.bert.embeddings.word_embeddings.weight, learned)


def test_the_artifact_says_what_it_is(done):
    manifest = json.loads((done.artifact / "manifest.json").read_bytes())
    card = (done.artifact / "README.md").read_text()
    assert (manifest["task"], manifest["labels"], manifest["temperature"]) == ("fill-mask", [], 1.0)
    assert "pipeline_tag: fill-mask" in card
    assert "Predicts tokens that are masked" in card
    assert "## Classes" not in card


def test_one_rank_trains_the_same_model(done, tmp_path):
    base = Path(done.job.config.settings.model.uri.removeprefix("file://"))
    alone = whole_job(tmp_path, base, steps=6, ranks=1, evaluation={"bootstrapSamples": 200, "baselines": False})
    assert alone.losses() == pytest.approx(done.losses()[:6], abs=1e-5)
