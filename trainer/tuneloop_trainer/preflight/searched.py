"""The settings by which a search is planned: what its largest trials need, so that no trial fails for want of memory or room. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.trial_settings import trial_settings
from tuneloop_api.v1alpha1.fine_tune_job.search_points import applies
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.plan import planned_micro_batch

if TYPE_CHECKING:
    from tuneloop_api.contract.search import DimensionSettings
    from tuneloop_api.contract.settings import Settings
    from tuneloop_api.v1alpha1.fine_tune_job.search_fields import ParameterValue

_TYPE, _BATCH, _WARMUP = "method.type", "training.globalBatchSize", "training.warmupSteps"


def planning_settings(settings: Settings) -> list[Settings]:
    """Return the settings of the largest trial of each method in the space; the settings themselves where there is no search.

    A searched warm-up is left out: a trial whose steps are too few for its own is refused by itself.
    """
    search = settings.search
    if search is None:
        return [settings]
    drawn = next((dimension.choices for dimension in search.space if dimension.path == _TYPE), None)
    planned = []
    for method in drawn or [settings.method.type]:
        others = [d for d in search.space if d.path not in {_TYPE, _WARMUP} and applies(d.path, str(method))]
        point = {dimension.path: _largest(dimension) for dimension in others} | ({_TYPE: method} if drawn else {})
        planned.append(changed(trial_settings(settings, point), search=search))
    return planned


def _largest(dimension: DimensionSettings) -> ParameterValue:
    """Return the value that takes most memory: the largest number, a switch that is on, the global batch with the largest micro-batch; of words the first."""
    if dimension.high is not None:
        return int(dimension.high) if dimension.type == "int" else dimension.high
    values = dimension.choices
    numbers = [value for value in values if not isinstance(value, str)]
    if dimension.path == _BATCH:
        return max(numbers, key=lambda rows: planned_micro_batch(int(rows)))
    return max(numbers) if len(numbers) == len(values) else values[0]
