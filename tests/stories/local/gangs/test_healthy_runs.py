"""Runs that learn as they should have no findings, and none is stopped: twenty small ones that differ in data, method and settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked_gangs import run_gangs
from prepared_runs import training_run, write_dataset, write_run
from tiny_models import sentences, tiny_bert

pytestmark = pytest.mark.local_story
RUNS = 20
OFTEN = (0, 3)
"""In every run of the tests, one that trains all and one with LoRA; all of them with the long ones."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed in OFTEN else [pytest.mark.full]) for seed in range(RUNS)]
)
def test_a_healthy_run_has_no_findings(tmp_path: Path, model: Path, seed: int) -> None:
    rows = sentences(400, seed=seed)
    splits = {"train": rows[:300], "validation": rows[300:350], "test": rows[350:]}
    write_dataset(tmp_path / "data", splits, model=model)
    lora = seed % 4 == 3
    training = {
        "maxSteps": 400 if lora else 200,
        "globalBatchSize": (16, 32)[seed % 2],
        "microBatchSize": 16,
        "learningRate": 5e-3 if lora else (2e-3, 4e-3, 8e-3)[seed % 3],
        "scheduler": ("linear", "cosine", "constant", "wsd")[seed // 5],
        "evaluateEvery": {"steps": 20},
        "seed": seed,
    }
    config = training_run(
        tmp_path,
        model=model,
        dataset=tmp_path / "data",
        training=training,
        method={"type": "lora", "rank": 8} if lora else {"type": "full"},
        checkpoint={"everySteps": 1000},
        evaluation={"baselines": False},
    )
    run_gangs([write_run(config, tmp_path / "run.json")])
    result = json.loads(Path(config.paths.job_dir, "train.json").read_text())
    lines = list(map(json.loads, Path(config.paths.job_dir, "logs", "train.jsonl").read_text().splitlines()))
    accuracy = [line["accuracy"] for line in lines if line["kind"] == "evaluation"][-1]
    assert accuracy > 0.75, "it has not learned half of what there is to learn: this run is not healthy"
    assert result.get("findings", []) == []
    assert [line for line in lines if line["kind"] == "finding"] == []
