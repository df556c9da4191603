"""Follows a run for its diagnosis: collects the curves on rank 0, and looks at them when it is asked to."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from tuneloop_trainer.diagnosis import findings
from tuneloop_trainer.diagnosis.curves import Curves, Facts
from tuneloop_trainer.diagnosis.gradients import dead_tensors
from tuneloop_trainer.diagnosis.straggler import StragglerWatch
from tuneloop_trainer.engine.master_weights import full_shape, trainable
from tuneloop_trainer.training.lr_schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.results import Finding
    from tuneloop_trainer.training.setup import TrainingRun
    from tuneloop_trainer.training.step import StepReport
    from tuneloop_trainer.training.train_log import TrainLog

LOG = logging.getLogger(__name__)


class Watch:
    """The curves of a run, also of its earlier attempts, and what they have told."""

    def __init__(self, run: TrainingRun, log: TrainLog | None) -> None:
        self._run, self._log, self._facts = run, log, facts_of(run)
        self.curves = Curves()
        self._found: list[Finding] = []
        """By the newest look."""
        self._straggler = StragglerWatch()
        self._told: set[str] = set()
        for line in log.lines() if log else ():
            self.curves.add(line)
            if line["kind"] == "finding":
                self._told.add(line["name"])

    def write(self, **line: float | str | None) -> None:
        """Write a line to the training log, on rank 0, and take it into the curves."""
        if self._log is not None:
            self._log.write(**line)
            self.curves.add(line)

    @property
    def found(self) -> list[Finding]:
        """What is to be said now."""
        slow = self._straggler.finding()
        return [*self._found, *([slow] if slow else [])]

    def ranks(self, step: int, report: StepReport, *, tokens: Sequence[int], step_seconds: float) -> None:
        """Take note of the ranks' own times for the step before. tokens: by rank, what it computed in it."""
        if tokens:
            self._straggler.see(seconds=report.ranks_before, tokens=tokens, step_seconds=step_seconds)
        self._tell(step)

    def look(self, step: int, *, over: bool = False) -> list[Finding]:
        """Return what the curves tell after a step; what is new is logged. Collective; only rank 0 knows. `over`: the run ends here."""
        dead = dead_tensors(self._run.engine)
        if self._log is None:
            return []
        self._found = findings(self.curves, self._facts, dead, over=over)
        self._tell(step)
        return self.found

    def _tell(self, step: int) -> None:
        if self._log is None:
            return
        for finding in self.found:
            if finding.name not in self._told:
                self._told.add(finding.name)
                self._log.write(kind="finding", step=step, **finding.to_wire())
                LOG.warning("step %d: %s: %s. %s", step, finding.name, finding.message, finding.advice)


def facts_of(run: TrainingRun) -> Facts:
    """Return what is known of a run before its first step."""
    return Facts(
        total_steps=run.resolved.total_steps,
        steps_per_epoch=run.resolved.steps_per_epoch,
        peak_rate=run.resolved.learning_rate,
        planned_path=sum(learning_rate(run.schedule, step) for step in range(run.resolved.total_steps)),
        class_prior_entropy=run.prior_loss,
        validation_targets=int(run.splits["validation"].targets.sum()),
        epsilon=run.training.epsilon,
        trained_numbers=sum(math.prod(full_shape(parameter)) for _, parameter in trainable(run.engine.model)),
        method=run.method,
    )
