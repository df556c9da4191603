"""What rank 0 tells the operator while it trains: at most one message a second, never in the way of a step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.progress import EvaluationPoint

if TYPE_CHECKING:
    from tuneloop_api.contract.results import Finding, SavedStep
    from tuneloop_trainer.report import Reporter
    from tuneloop_trainer.training.speed import Speed
    from tuneloop_trainer.training.step import StepReport

INTERVAL_SECONDS = 1.0


@dataclass
class ProgressPosts:
    """Keeps what was said last, so that every message is complete."""

    reporter: Reporter
    is_main_rank: bool
    """Only rank 0 does."""
    total_steps: int
    steps_per_epoch: int
    _fields: dict[str, Any] = field(default_factory=dict)
    _posted: float = float("-inf")

    def phase(self, detail: str) -> None:
        """Say what is being done now."""
        self._post(detail=detail)

    def started(self, step: int, *, latest: SavedStep | None, best: SavedStep | None) -> None:
        """Say where this attempt goes on from."""
        self._post(
            detail="training",
            start_step=step,
            step=step,
            total_steps=self.total_steps,
            fraction=step / self.total_steps,
            latest=latest,
            best=best,
        )

    def step(self, done: int, report: StepReport, speed: Speed) -> None:
        """Keep how a step went, and say it if the last message is old enough."""
        if not self.is_main_rank:
            return
        seconds_left = speed.seconds_for(self.total_steps - done)
        self._fields |= dict(  # noqa: C408  (the fields' names stand as in the message)
            detail="training",
            step=done,
            fraction=done / self.total_steps,
            epoch=done / self.steps_per_epoch,
            loss=report.loss,
            learning_rate=report.learning_rate,
            grad_norm=report.grad_norm,
            tokens_per_second=speed.tokens_per_second(),
            step_seconds=speed.total_seconds,
            eta_seconds=None if seconds_left is None else round(seconds_left),
        )
        if time.monotonic() - self._posted >= INTERVAL_SECONDS:
            self._post()

    def evaluated(self, metric: str, value: float) -> None:
        """Say what the newest evaluation showed."""
        self._post(evaluation=EvaluationPoint(name=metric, value=value))

    def found(self, findings: list[Finding]) -> None:
        """Say what the curves tell now; posted with the next message."""
        self._fields["findings"] = findings

    def saved(self, latest: SavedStep, best: SavedStep | None, *, save_seconds_p95: float | None = None) -> None:
        """Say that a checkpoint was committed."""
        self._post(latest=latest, best=best, save_seconds_p95=save_seconds_p95, save_error=None)

    def unsaved(self, reason: str) -> None:
        """Say why a checkpoint was not saved; training goes on."""
        self._post(save_error=reason)

    def _post(self, **fields: Any) -> None:
        if self.is_main_rank:
            self._fields |= fields
            self._posted = time.monotonic()
            self.reporter.post(**self._fields)
