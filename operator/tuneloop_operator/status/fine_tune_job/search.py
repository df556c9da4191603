"""What the status shows of a search: how many trials have ended, and the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.common import MOST_SHORT_TEXT_CHARACTERS
from tuneloop_api.v1alpha1.fine_tune_job.search import MOST_DIMENSIONS
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus, SearchStatus
from tuneloop_api.wire.model import changed

if TYPE_CHECKING:
    from tuneloop_api.contract.search import SearchSummary
    from tuneloop_api.v1alpha1.fine_tune_job.search_fields import ParameterValue


def with_search(status: FineTuneJobStatus, summary: SearchSummary | None) -> FineTuneJobStatus:
    """Return the status with the trials that a stage reports; names and values are cut to what the status holds."""
    if summary is None:
        return status
    values = list((summary.parameters or {}).items())[:MOST_DIMENSIONS]
    found = SearchStatus(
        trial=f"{summary.trials}/{summary.total}",
        pruned=summary.pruned,
        best=summary.best,
        metric=summary.metric[:MOST_SHORT_TEXT_CHARACTERS],
        value=summary.value,
        parameters={
            path[:MOST_SHORT_TEXT_CHARACTERS]: _text(value)[:MOST_SHORT_TEXT_CHARACTERS] for path, value in values
        }
        or None,
    )
    return changed(status, search=found)


def _text(value: ParameterValue) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
