"""A search for the best values of some fields: its settings, and the record of its trials."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tuneloop_api.contract.settings_block import SettingsBlock
from tuneloop_api.v1alpha1.fine_tune_job.search_fields import ParameterValue, choices_of
from tuneloop_api.v1alpha1.fine_tune_job.training import MetricName
from tuneloop_api.wire.model import MessageModel, Open

RECORD = "search.json"
"""The trials of a job, in its folder and beside the artifact."""
TRIALS = "trials"
"""Folder of the trials in that of the job, each by its number in four digits."""
Parameters: TypeAlias = dict[str, ParameterValue]
"""Values by the path of their field, such as `training.learningRate`."""


class DimensionSettings(SettingsBlock):
    """A field that differs between trials: a range, or a list of values."""

    path: str
    type: Literal["float", "log-float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    values: list[str] | None = None
    numbers: list[float] | None = None

    @property
    def choices(self) -> list[ParameterValue]:
        """The values of the list, as their field takes them; none of a range."""
        return choices_of(self.path, self.values, self.numbers)


class SearchSettings(SettingsBlock):
    """Several trainings, of which the best is published."""

    space: list[DimensionSettings]
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["none", "median", "asha"] = "asha"
    trials: int = 20
    """Of `tpe` and `random`; a grid has as many as combinations."""
    metric: MetricName | None = None
    """None: `training.bestMetric`."""


class Evaluated(MessageModel):
    """An evaluation of a trial."""

    step: int
    value: float


TrialState: TypeAlias = Literal["Running", "Complete", "Pruned", "Diverged", "Refused"]


class Trial(MessageModel):
    """A training with values of its own."""

    number: int
    """From 1."""
    parameters: Parameters
    state: Annotated[TrialState, Open("Refused")] = "Running"
    """Pruned: ended early, since others were better. Diverged: its loss was not finite. Refused: its values cannot be used together."""
    evaluations: list[Evaluated] = Field(default=[])
    value: float | None = None
    """The metric of the weights that it would publish; None until it is complete."""
    step: int | None = None
    """Step of those weights."""
    steps: int = 0
    """Optimizer steps made."""
    total_steps: int = 0
    """Optimizer steps planned."""
    seconds: float = 0.0
    """Time of its training, all attempts together; of an attempt that was killed up to its last evaluation."""
    resume: Annotated[Literal["exact", "rounding"], Open("rounding")] = "exact"
    reason: str | None = None
    """Why it diverged or was refused."""


class SearchSummary(MessageModel):
    """What the status shows of a search."""

    trials: int
    """Trials that ended."""
    total: int
    """Trials that are planned."""
    pruned: int
    metric: str
    best: int | None = None
    """Number of the best trial so far; None before the first was complete."""
    value: float | None = None
    """Its metric."""
    parameters: Parameters | None = None


class SearchReport(SearchSummary):
    """What export and the report know of a search."""

    record: list[Trial]
    importance: dict[str, float] | None = None
    """Part of the differences between trials that each field explains, by path; None: too few trials were complete."""


def trial_folder(number: int) -> str:
    """Return the path of a trial's folder, with its checkpoints and its log, below that of the job."""
    return f"{TRIALS}/{number:04d}"
