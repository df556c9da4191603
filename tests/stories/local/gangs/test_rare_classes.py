"""A job whose rare class is never the likeliest: class weights find it. With noise, layer-wise rates and gradient checkpointing, from the rehearsal to the published model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from run_configs import run_config
from safetensors.numpy import load_file
from tiny_models import sentences, tiny_bert, write_csv
from whole_job import Job

from tuneloop_trainer.dataset.shards import read_texts

if TYPE_CHECKING:
    from tuneloop_api.contract.results import TrainResult

SHARE = 0.3
"""Of the rare class among the texts of class 1; the others have none. Weights of the whole data bring these 30 % to 71 %."""


def rows(count: int) -> list[tuple[str, str]]:
    source = random.Random(1)
    return [
        (text, "rare" if label == "class-1" and source.random() < SHARE else "usual")
        for text, label in sentences(count)
    ]


def test_class_weights_find_a_class_that_is_never_the_likeliest(tmp_path: Path) -> None:
    job = Job(
        run_config(
            tmp_path,
            sources=[write_csv(tmp_path / "train.csv", rows(600))],
            model=tiny_bert(tmp_path / "model"),
            method={"type": "full"},
            data={"balance": {"classWeights": "balanced"}},
            training={
                "maxSteps": 60, "microBatchSize": 16, "learningRate": 1e-2, "neftuneAlpha": 1.0, "layerwiseLrDecay": 0.9, "gradientCheckpointing": "always",
            },
            gang={"gpusPerNode": 0, "processesPerNode": 2},
            deepspeed={"stage": 2},
            checkpoint={"everySteps": 30},
            evaluation={"bootstrapSamples": 100, "baselines": False},
            preflight={"rehearsal": True},
        )
    )  # fmt: skip
    prepared = job.prepare()
    assert (prepared.rehearsal or "").startswith("trained, saved, exported and loaded this model in ")
    trained = job.train()
    of_class_1 = np.array(
        [
            text in {t for t, label in sentences(600) if label == "class-1"}
            for _, text, _ in read_texts(Path(prepared.dataset_path), "test")
        ]
    )
    chosen = rare_chosen(trained)
    assert chosen[of_class_1].mean() > 0.8
    assert chosen[~of_class_1].mean() < 0.2
    card = Path(job.export().artifact_path, "README.md").read_text()
    assert "| class weights | balanced |" in card


def rare_chosen(trained: TrainResult) -> np.ndarray:
    """Return for each test row whether the model chose `rare`, the first label."""
    return load_file(trained.predictions["test"])["logits"].argmax(axis=1) == 0
