"""What the model card is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_api.contract.artifact import OnnxFiles
    from tuneloop_api.contract.results import PrepareResult, TrainResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.evaluation.measure import Evaluation
    from tuneloop_trainer.export.baseline_comparison import BaselineComparison
    from tuneloop_trainer.export.exporters.exporter import ExportInputs
    from tuneloop_trainer.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that the card tells."""

    name: str
    inputs: ExportInputs
    evaluation: Evaluation
    comparison: BaselineComparison
    published_step: int
    license: str | None
    """License of the base model, if its own card says it."""
    parts: list[str]
    """Folders of the artifact: `model`, `adapter`."""
    library: str
    """Library that loads the artifact, as the hub calls it."""
    onnx: OnnxFiles | None = None
    """What was found of the ONNX files; None: the job asks for none."""

    @property
    def settings(self) -> Settings:
        """The spec with its defaults."""
        return self.inputs.settings

    @property
    def prepared(self) -> PrepareResult:
        """What `prepare` handed on."""
        return self.inputs.prepared

    @property
    def trained(self) -> TrainResult:
        """What training handed on."""
        return self.inputs.trained

    @property
    def task(self) -> Task:
        """The job's task."""
        return self.inputs.task
