"""Run configurations for tests of the trainer: everything lies below one temporary folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuneloop_api.contract.defaults import config_hash
from tuneloop_api.contract.run_config import JobIdentity, Paths, RunConfig, Stage
from tuneloop_api.contract.settings import Settings

CLAIM = "work"


def run_config(
    tmp_path: Path,
    *,
    stage: Stage = "prepare",
    sources: list[Path | dict[str, Any]] | None = None,
    model: Path | None = None,
    attempt: int | None = None,
    **settings: Any,
) -> RunConfig:
    """Return a configuration whose claim, data sets and job folder lie below `tmp_path`.

    `sources`: files, or whole source blocks with the wire's names; they become `data.train`. `model`: its folder.
    `settings`: further blocks of `Settings` with the wire's names (`data`, `training`, `gang`, ...), merged over the defaults. The rehearsal is
    off: hundreds of tests prepare data, and few are about the rehearsal.
    """
    for name in ("datasets", "models", "job"):
        (tmp_path / name).mkdir(exist_ok=True)
    data = {"train": [source_block(source) for source in sources or [tmp_path / "train.csv"]]} | settings.pop(
        "data", {}
    )
    training = {"epochs": 1.0, "warmupRatio": 0.06} | settings.pop("training", {})
    if "maxSteps" in training:
        training.pop("epochs")
    wire = {
        "model": {"uri": f"file://{model or tmp_path / 'model'}"} | settings.pop("model_source", {}),
        "task": "text-classification",
        "data": data,
        "training": training,
        "gang": settings.pop("gang", {"gpusPerNode": 0}),
        "checkpoint": settings.pop("checkpoint", {"everySteps": 5}),
        "preflight": settings.pop("preflight", {"rehearsal": False}),
    }
    chosen = Settings.from_wire(wire | settings)
    return RunConfig(
        stage=stage,
        job=JobIdentity(namespace="default", name="reviews", uid="0b1c2d3e-0000-4000-8000-000000000000"),
        attempt=(1 if stage == "train" else 0) if attempt is None else attempt,
        settings=chosen,
        config_hash=config_hash(chosen),
        paths=Paths(
            claims={CLAIM: str(tmp_path)},
            datasets=str(tmp_path / "datasets"),
            models=str(tmp_path / "models"),
            job_dir=str(tmp_path / "job"),
            job_uri=f"pvc://{CLAIM}/job",
            termination_message=str(tmp_path / "termination.json"),
        ),
    )


def source_block(source: Path | dict[str, Any]) -> dict[str, Any]:
    """Return a source block: a path becomes its `file://` address."""
    return source if isinstance(source, dict) else {"uri": f"file://{source}"}
