"""Diagnoses a run while it trains: collects its curves on rank 0, and updates the findings after evaluations and at the end."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from tuneloop_trainer.diagnosis import findings
from tuneloop_trainer.diagnosis.curves import Curves, RunContext
from tuneloop_trainer.diagnosis.gradients import dead_tensors
from tuneloop_trainer.diagnosis.straggler import StragglerDetector
from tuneloop_trainer.engine.master_weights import full_shape, trainable
from tuneloop_trainer.training.listeners.listener import Listener
from tuneloop_trainer.training.listeners.train_log import evaluation_line, step_line
from tuneloop_trainer.training.lr_schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.results import Finding
    from tuneloop_trainer.training.listeners.listener import EvaluationEvent, StepEvent
    from tuneloop_trainer.training.listeners.train_log import TrainLog
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)


class Diagnosis:
    """The curves of a run, over all its attempts, and the present findings.

    log: the training log on rank 0, None on the other ranks. report: takes the present findings after each step and each evaluation.
    """

    def __init__(self, run: TrainingRun, log: TrainLog | None, *, report: Callable[[list[Finding]], None]) -> None:
        self._run, self._log, self._report, self._context = run, log, report, context_of(run)
        self.curves = Curves()
        self._found: list[Finding] = []
        """Findings of the newest evaluation."""
        self._straggler = StragglerDetector()
        self._tokens_before: list[int] = []
        """Tokens that each rank computed in the step before, by rank; empty before the first step of this attempt."""
        self._logged: set[str] = set()
        """Names of the findings that are in the log."""
        for line in log.lines() if log else ():
            self.curves.add(line)
            if line["kind"] == "finding":
                self._logged.add(line["name"])

    def listener(self) -> Listener:
        """Return what the loop calls, on every rank."""
        return Listener(
            name="diagnosis",
            essential=True,
            on_step=self.step,
            on_evaluation=self.evaluated,
            on_last_step=lambda step: self._update_findings(step, over=True),
        )

    @property
    def found(self) -> list[Finding]:
        """The present findings."""
        straggler = self._straggler.finding()
        return [*self._found, *([straggler] if straggler else [])]

    def step(self, event: StepEvent) -> None:
        """Add a step to the curves, and compare the ranks' times for the step before."""
        if self._log is not None:
            self.curves.add(step_line(event))
        if self._tokens_before:
            self._straggler.add_step(
                seconds=event.report.ranks_before, tokens=self._tokens_before, step_seconds=event.seconds
            )
        self._log_new(event.step)
        self._report(self.found)
        self._tokens_before = self._run.batch_schedule.tokens_by_rank(event.step - 1, self._run.engine.world_size)

    def evaluated(self, event: EvaluationEvent) -> None:
        """Add an evaluation to the curves, and update the findings. Collective."""
        if self._log is not None:
            self.curves.add(evaluation_line(event))
        self._update_findings(event.step)

    def _update_findings(self, step: int, *, over: bool = False) -> None:
        """Find what the curves up to a step show. Collective; rank 0 alone knows the findings. over: the run ends here."""
        dead = dead_tensors(self._run.engine)
        if self._log is not None:
            self._found = findings(self.curves, self._context, dead, over=over)
            self._log_new(step)
        self._report(self.found)

    def _log_new(self, step: int) -> None:
        if self._log is None:
            return
        for finding in self.found:
            if finding.name not in self._logged:
                self._logged.add(finding.name)
                self._log.write(kind="finding", step=step, **finding.to_wire())
                LOG.warning("step %d: %s: %s. %s", step, finding.name, finding.message, finding.advice)


def context_of(run: TrainingRun) -> RunContext:
    """Return what the findings need to know of a run besides its curves."""
    return RunContext(
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
