"""The settings of one trial of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.fine_tune_job.search_fields import IN_PLACE_OF
from tuneloop_api.wire.paths import with_value

if TYPE_CHECKING:
    from tuneloop_api.contract.search import Parameters
    from tuneloop_api.contract.settings import Settings


def trial_settings(settings: Settings, parameters: Parameters) -> Settings:
    """Return the settings of a trial. Raises ValidationError for values that do not fit."""
    wire: dict[str, Any] = settings.to_wire()
    metric = settings.search.metric if settings.search else None
    wire.pop("search", None)
    for path, value in parameters.items():
        wire = with_value(wire, path, value)
        if (replaced := IN_PLACE_OF.get(path)) is not None and replaced not in parameters:
            wire = with_value(wire, replaced, None)
    if metric is not None:
        wire = with_value(wire, "training.bestMetric", metric)
    return type(settings).from_wire(wire)
