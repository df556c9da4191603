"""Posts the progress of a trial as that of the whole search: steps, time left and checkpoints are those of all trials."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tuneloop_api.wire.model import changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.results import SavedStep
    from tuneloop_api.contract.search import SearchSummary, Trial
    from tuneloop_trainer.report import Posts


class TrialReporter:
    """Takes the posts of a trial. finished: the trials before. left: trials that are still to come after this one."""

    def __init__(
        self, reporter: Posts, *, summary: SearchSummary, finished: Sequence[Trial], left: int, start_step: int
    ) -> None:
        self._reporter, self._summary, self._left, self._start_step = reporter, summary, left, start_step
        self._steps = sum(trial.steps for trial in finished)
        self._seconds = [trial.seconds for trial in finished if trial.seconds > 0]
        self._began = time.monotonic()

    def post(self, **fields: Any) -> None:
        """Post the fields of a trial's message."""
        own_total = fields.get("total_steps")
        if own_total is not None:
            fields["total_steps"] = self._steps + own_total * (1 + self._left)
        if fields.get("step") is not None:
            fields["step"] += self._steps
        if fields.get("start_step") is not None:
            fields["start_step"] = self._start_step
        if fields.get("step") is not None and fields.get("total_steps"):
            fields["fraction"] = fields["step"] / fields["total_steps"]
        if fields.get("eta_seconds") is not None:
            fields["eta_seconds"] += round(self._left * self._seconds_of_trial(fields["eta_seconds"]))
        for name in ("latest", "best"):
            if fields.get(name) is not None:
                fields[name] = shifted(fields[name], self._steps)
        self._reporter.post(**fields, search=self._summary)

    def _seconds_of_trial(self, own_left: int) -> float:
        """Return the seconds that a trial takes: the mean of those that ended, else an estimate from the one that runs."""
        if self._seconds:
            return sum(self._seconds) / len(self._seconds)
        return time.monotonic() - self._began + own_left


def shifted(saved: SavedStep, steps: int) -> SavedStep:
    """Return a checkpoint with its step counted over all trials. steps: those of the trials before."""
    return changed(saved, step=saved.step + steps)
