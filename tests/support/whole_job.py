"""A whole job on this machine, stage by stage: prepare, train on a real gang, export. No operator and no supervisor."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forked_gangs import run_gangs
from free_ports import free_port
from prepared_runs import write_run

from tuneloop_api.contract.results import ExportResult, PrepareResult, TrainResult
from tuneloop_api.contract.run_config import Rendezvous, ResultReference, RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.dataset.shards import read_rows
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.stage_result import write_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Job:
    """One job; `config` is that of its prepare stage. `train`: runs a gang on a run.json."""

    def __init__(self, config: RunConfig, *, train: Callable[[Sequence[Path]], None] = run_gangs) -> None:
        self.config, self._train = config, train
        self.folder = Path(config.paths.job_dir)

    def prepare(self) -> PrepareResult:
        """Prepare the data and the plan."""
        from tuneloop_trainer.prepare import prepare

        result = prepare(self.config, Reporter(self.config))
        self.prepared = write_result(result, stage="prepare", job=self.folder)
        return result

    def train(self, *, attempt: int = 1) -> TrainResult:
        """Train on all ranks of the gang, from the newest checkpoint."""
        rendezvous = Rendezvous(address="127.0.0.1", port=free_port())
        config = self._stage("train", attempt=attempt, rendezvous=rendezvous, prepare_result=self.prepared)
        self._train([write_run(config, self.folder / f"run-{attempt}.json")])
        data = (self.folder / "train.json").read_bytes()
        self.trained = ResultReference(path=str(self.folder / "train.json"), sha256=hashlib.sha256(data).hexdigest())
        return TrainResult.model_validate_json(data)

    def export(self) -> ExportResult:
        """Publish the artifact."""
        from tuneloop_trainer.export.stage import export

        config = self._stage("export", prepare_result=self.prepared, train_result=self.trained)
        return export(config, Reporter(config))

    def _stage(self, stage: str, **fields: Any) -> RunConfig:
        return changed(self.config, stage=stage, **fields)


@dataclass(frozen=True)
class FinishedJob:
    """A job with the results of its three stages."""

    job: Job
    prepared: PrepareResult
    trained: TrainResult
    exported: ExportResult

    @property
    def artifact(self) -> Path:
        """Folder of the published artifact."""
        return Path(self.exported.artifact_path)

    def values(self) -> dict[str, float]:
        """Return the metrics by name."""
        return {metric.name: metric.value for metric in self.exported.metrics}

    def losses(self) -> list[float]:
        """Return the loss of each step."""
        lines = map(json.loads, (self.job.folder / "logs" / "train.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if line["kind"] == "step"]

    def rows(self, split: str) -> list[dict[str, Any]]:
        """Return the rows of a split, as its format names their columns."""
        return [row for _, row in read_rows(Path(self.prepared.dataset_path), split)]


def finished(config: RunConfig) -> FinishedJob:
    """Run all stages of a job."""
    job = Job(config)
    return FinishedJob(job, job.prepare(), job.train(), job.export())
