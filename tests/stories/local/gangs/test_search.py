"""A job that searches, from its rehearsals to the published model: the card and the record beside the model tell what was tried."""

from __future__ import annotations

import json
from pathlib import Path

from run_configs import run_config
from tiny_models import sentences, tiny_bert, write_csv
from whole_job import Job

from tuneloop_api.contract.results import TrainResult


def test_a_search_publishes_its_best_trial_with_the_record_of_all(tmp_path: Path) -> None:
    space = [
        {"path": "training.learningRate", "type": "categorical", "numbers": [1e-6, 1e-2]},
        {"path": "method.type", "type": "categorical", "values": ["full", "lora"]},
    ]
    job = Job(
        run_config(
            tmp_path,
            sources=[write_csv(tmp_path / "train.csv", sentences(400))],
            model=tiny_bert(tmp_path / "model"),
            training={"maxSteps": 24, "microBatchSize": 16, "evaluateEvery": {"steps": 12}},
            search={"space": space, "sampler": "grid", "pruner": "none", "metric": "accuracy"},
            evaluation={"bootstrapSamples": 100, "baselines": False},
            preflight={"rehearsal": True},
        )
    )
    prepared = job.prepare()
    assert [part.split(":")[0] for part in (prepared.rehearsal or "").split("; ")] == ["full", "lora"]
    assert prepared.architecture == "encoder"
    trained = job.train()
    exported = job.export()
    artifact = Path(exported.artifact_path)
    assert (artifact / "model").is_dir()
    check_artifact(artifact, trained)
    assert {path.parent.name for path in job.folder.glob("trials/*/checkpoints")} == {f"{best_of(trained):04d}"}


def best_of(trained: TrainResult) -> int:
    assert trained.search is not None
    assert trained.search.best is not None
    return trained.search.best


def check_artifact(artifact: Path, trained: TrainResult) -> None:
    """Hold what lies beside the model to what training handed on."""
    assert trained.search is not None
    found, card = json.loads((artifact / "search.json").read_text()), (artifact / "README.md").read_text()
    assert [trial["state"] for trial in found["record"]] == ["Complete"] * 4
    assert found["best"] == best_of(trained)
    assert not any("seconds" in trial for trial in found["record"])
    parameters = trained.search.parameters or {}
    assert parameters["training.learningRate"] == 1e-2
    assert trained.resolved is not None
    assert trained.resolved.learning_rate == 1e-2
    assert f"Trial {found['best']} of 4 is published: `training.learningRate: 0.01`" in card
    assert f"| method | {parameters['method.type']} (" in card
    assert "| learning rate | 0.01," in card
    assert "| optimizer steps | 24 of 24 |" in card
