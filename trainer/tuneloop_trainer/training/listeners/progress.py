"""Posts the progress of training to the operator: from rank 0, at most once a second, without delaying a step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.progress import EvaluationPoint
from tuneloop_trainer.training.listeners.listener import Listener

if TYPE_CHECKING:
    from tuneloop_api.contract.results import Finding
    from tuneloop_trainer.report import Posts
    from tuneloop_trainer.training.listeners.listener import EvaluationEvent, SavedEvent, StartEvent, StepEvent

INTERVAL_SECONDS = 1.0


@dataclass
class ProgressPosts:
    """Keeps all fields of the last message, so that every message is complete."""

    reporter: Posts
    is_main_rank: bool
    """Only rank 0 posts."""
    total_steps: int
    best_metric: str
    """The metric whose value is posted after an evaluation."""
    _fields: dict[str, Any] = field(default_factory=dict)
    _posted: float = float("-inf")

    def listener(self) -> Listener:
        """Return what the loop calls."""
        return Listener(
            name="progress",
            essential=True,
            on_start=self.started,
            on_step=self.step,
            on_evaluation=self.evaluated,
            on_saved=self.saved,
            on_save_failed=self.save_failed,
            on_last_step=self.last_step,
        )

    def started(self, event: StartEvent) -> None:
        """Post the step that this attempt starts from."""
        self._post(
            detail="training",
            start_step=event.step,
            step=event.step,
            total_steps=self.total_steps,
            fraction=event.step / self.total_steps,
            latest=event.last,
            best=event.best,
        )

    def step(self, event: StepEvent) -> None:
        """Keep the numbers of a step, and post them if the last message is old enough."""
        report, speed = event.report, event.speed
        self._fields |= dict(  # noqa: C408  (the fields' names stand as in the message)
            detail="training",
            step=event.step,
            fraction=event.step / self.total_steps,
            epoch=event.epoch,
            loss=report.loss,
            learning_rate=report.learning_rate,
            grad_norm=report.grad_norm,
            tokens_per_second=speed.tokens_per_second(),
            step_seconds=speed.total_seconds,
            eta_seconds=round(speed.seconds_for(self.total_steps - event.step)),
        )
        if time.monotonic() - self._posted >= INTERVAL_SECONDS:
            self._post()

    def evaluated(self, event: EvaluationEvent) -> None:
        """Post the result of an evaluation."""
        self._post(evaluation=EvaluationPoint(name=self.best_metric, value=event.metrics[self.best_metric]))

    def findings(self, findings: list[Finding]) -> None:
        """Keep the present findings of the diagnosis for the next message."""
        self._fields["findings"] = findings

    def saved(self, event: SavedEvent) -> None:
        """Post that a checkpoint was committed."""
        self._post(latest=event.saved, best=event.best, save_seconds_p95=event.save_seconds_p95, save_error=None)

    def save_failed(self, reason: str) -> None:
        """Post why a checkpoint was not saved."""
        self._post(save_error=reason)

    def last_step(self, _step: int) -> None:
        """Post that the final evaluation begins."""
        self._post(detail="evaluating")

    def _post(self, **fields: Any) -> None:
        if self.is_main_rank:
            self._fields |= fields
            self._posted = time.monotonic()
            self.reporter.post(**self._fields)
