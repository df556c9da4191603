"""The training loop, read top to bottom: set up, resume, measure before, train, measure after, hand over.

Every rank runs this code in step with the others: whatever decides (losses, metrics, flags, the plan of batches) is the same on all.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.results import TrainResult, TrainSummary
from tuneloop_trainer.errors import Preempted, StageError
from tuneloop_trainer.training.batch_schedule import Tokens
from tuneloop_trainer.training.final_evaluation import (
    BEFORE_TEST,
    measure_after_training,
    measure_before_training,
    predict_split,
    predictions_path,
    write_weights,
)
from tuneloop_trainer.training.listeners.diagnosis import Watch
from tuneloop_trainer.training.loss_spikes import HISTORY_STEPS, LossSpikeDetector, check_finite
from tuneloop_trainer.training.progress import ProgressPosts
from tuneloop_trainer.training.resume import Position, load_chosen, resume
from tuneloop_trainer.training.saves import CheckpointSaver
from tuneloop_trainer.training.setup import TrainingRun, set_up
from tuneloop_trainer.training.speed import Speed
from tuneloop_trainer.training.step import StepReport, make_step
from tuneloop_trainer.training.train_log import TrainLog

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_trainer.diagnosis.curves import Curves
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.report import Reporter
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.stop_request import StopRequest

LOG = logging.getLogger(__name__)


def run(config: RunConfig, *, reporter: Reporter, stop: StopRequest, heartbeat: Heartbeat) -> TrainResult | None:
    """Train from the newest checkpoint to the end; returns the result on rank 0, None on the others."""
    with heartbeat.through_pause():
        training_run = set_up(config)
    if config.settings.checkpoint.resume_from is not None:  # its load takes the base model's own weights away
        measure_before_training(training_run, beat=heartbeat.beat)
    with heartbeat.through_pause():
        position = resume(training_run)
    stop.listen()  # not while it waits for others or loads: no Python runs then, and a gang that is not whole never comes to agree
    return Loop(training_run, position, reporter=reporter, stop=stop, heartbeat=heartbeat).run()


class Loop:
    """One attempt at a run."""

    def __init__(
        self, run: TrainingRun, position: Position, *, reporter: Reporter, stop: StopRequest, heartbeat: Heartbeat
    ) -> None:
        self._run, self._at, self._stop, self._heartbeat = run, position, stop, heartbeat
        self._start_step = position.step
        self._exactness = run.checkpoints.exactness
        self._speed = Speed()
        self._measured: dict[int, Predictions] = {}
        """Validation predictions of the steps that may be published."""
        self._posts = ProgressPosts(
            reporter=reporter,
            is_main_rank=run.is_main_rank,
            total_steps=run.resolved.total_steps,
            steps_per_epoch=run.resolved.steps_per_epoch,
        )
        self._saves = CheckpointSaver(run, position, posts=self._posts, heartbeat=heartbeat)
        evaluated = position.selection.evaluated_step
        path = run.job / "logs" / "train.jsonl"
        self._log = TrainLog(path, step=position.step, evaluated_step=evaluated) if run.is_main_rank else None
        self._watch = Watch(run, self._log)
        self._guard = _guard(run, self._watch.curves)
        self._before: StepReport | None = None
        self._shared_out: list[int] = []
        """Tokens of the step before, by rank."""
        self._save_is_owed = False
        """A save fell due while the state was in doubt."""

    def run(self) -> TrainResult | None:
        """Train to the end and hand over; an error leaves with how far training had come."""
        try:
            return self._train()
        except StageError as error:
            error.train = self._summary()
            raise

    def _train(self) -> TrainResult | None:
        self._posts.started(self._at.step, latest=self._at.last, best=self._at.best)
        self._leave_if_asked()
        if self._at.step == 0:
            measure_before_training(self._run, beat=self._heartbeat.beat)
        self._evaluate_if_due()
        while not self._finished():
            report = self._step()
            if report.saves_ready:
                self._saves.commit()
            if report.stop:
                self._save_and_leave()
            self._evaluate_if_due()
            if self._finished():
                self._guard.end()
            self._save_is_owed |= report.save
            if self._is_new_best() or (self._save_is_owed and not self._guard.doubtful):
                self._saves.begin()
                self._save_is_owed = False
        self._saves.save_now()
        return self._finish()

    def _finished(self) -> bool:
        at, training = self._at, self._run.training
        return at.step >= self._run.resolved.total_steps or at.selection.stops(training)

    def _step(self) -> StepReport:
        """Make the next step, and tell of it."""
        began = time.monotonic()
        done = self._at.step + 1
        save = self._run.is_main_rank and self._saves.due(done)
        report = make_step(
            self._run,
            self._at.step,
            stop=self._stop.asked,
            save=save,
            save_ready=self._saves.ready,
            beat=self._heartbeat.beat,
            before=self._before,
        )
        tokens = self._run.batch_schedule.tokens(self._at.step)
        seconds = time.monotonic() - began
        self._at.step = done
        self._speed.add(seconds=seconds, tokens=tokens.real)
        self._heartbeat.step_done(done, slow_step_seconds=self._speed.slow_step_seconds())
        self._posts.step(done, report, self._speed)
        self._write_step(report, tokens, seconds)
        self._watch.ranks(done, report, tokens=self._shared_out, step_seconds=seconds)
        self._posts.found(self._watch.found)
        self._before, self._shared_out = (
            report,
            self._run.batch_schedule.tokens_by_rank(done - 1, self._run.engine.world_size),
        )
        self._guard.see(done, report.loss)
        return report

    def _evaluate_if_due(self) -> None:
        """Measure the validation split, unless a checkpoint says that it was measured at this very step."""
        at, step = self._at, self._at.step
        if not self._run.rhythm.evaluation_due(step) or at.selection.evaluated_step == step:
            return
        predictions = predict_split(self._run, "validation", beat=self._heartbeat.beat)
        metrics = self._run.task.metrics(predictions, self._run.resolved.labels)
        check_finite("validation loss", metrics["loss"], step)
        at.selection = at.selection.with_evaluation(step, metrics, self._run.training)
        self._measured[step] = predictions
        wanted = {step, at.selection.best.step if at.selection.best else step}
        self._measured = {step: kept for step, kept in self._measured.items() if step in wanted}
        metric = self._run.training.best_metric
        self._posts.evaluated(metric, metrics[metric])
        self._watch.write(kind="evaluation", step=step, epoch=self._epoch(), split="validation", **metrics)
        if self._run.is_main_rank:
            LOG.info(
                "step %d: validation %s", step, ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            )
        self._posts.found(self._watch.look(step))

    def _is_new_best(self) -> bool:
        best = self._at.selection.best
        return best is not None and best.step == self._at.step

    def _save_and_leave(self) -> None:
        """Save unless the state is in doubt; what is being written is committed in any case."""
        if self._guard.doubtful:
            self._saves.commit()
        else:
            self._saves.save_now()
        self._leave()

    def _leave_if_asked(self) -> None:
        """Between the phases, where no step carries the flag: leave if any rank was asked to."""
        flag = torch.full((1,), float(self._stop.asked), dtype=torch.float64)
        if self._run.engine.all_reduce_sum(flag).item() > 0:
            self._leave()

    def _leave(self) -> None:
        raise Preempted(
            f"asked to stop after step {self._at.step} of {self._run.resolved.total_steps}; "
            f"the newest checkpoint is of step {0 if self._at.last is None else self._at.last.step}"
        )

    def _finish(self) -> TrainResult | None:
        """Measure and write the chosen weights."""
        self._leave_if_asked()
        self._posts.found(self._watch.look(self._at.step, over=True))
        self._posts.phase("evaluating")
        with self._heartbeat.through_pause():
            step = load_chosen(self._run, self._at)
        metrics = measure_after_training(self._run, self._measured.get(step), beat=self._heartbeat.beat)
        with self._heartbeat.through_pause():
            weights = write_weights(self._run, step=step)
        peak = self._run.engine.peak_memory_bytes()
        if self._log is None:
            return None
        primary = self._run.task.primary_metric
        for split, values in metrics.items():
            LOG.info("step %d: %s %s %.4f", step, split, primary, values[primary])
        self._log.close()
        return self._result(str(weights), peak_memory=peak)

    def _summary(self) -> TrainSummary:
        return TrainSummary(
            start_step=self._start_step,
            steps=self._at.step,
            world_size=self._run.engine.world_size,
            last=self._at.last,
            best=self._at.best,
            resume=self._exactness,
            precision=self._run.resolved.precision,
            step_seconds=self._speed.total_seconds,
            save_seconds_p95=self._saves.times.p95(),
            findings=self._watch.found or None,
        )

    def _result(self, weights: str, *, peak_memory: int) -> TrainResult:
        at, run = self._at, self._run
        assert at.last is not None, "the last step is always saved"
        trained = sum((run.batch_schedule.tokens(step) for step in range(at.step)), Tokens(0, 0))
        files = {name: predictions_path(run.job, name) for name in ("validation", "test", BEFORE_TEST)}
        return TrainResult(
            attempt=run.config.attempt,
            world_size=run.engine.world_size,
            start_step=self._start_step,
            steps=at.step,
            stopped_early=at.step < run.resolved.total_steps,
            last=at.last,
            best=at.best,
            weights_path=weights,
            predictions={name: str(path) for name, path in files.items() if path.exists()},
            log_path=str(run.job / "logs" / "train.jsonl"),
            resume=self._exactness,
            precision=run.resolved.precision,
            micro_batch_size=run.resolved.micro_batch_size,
            tokens_per_second=self._speed.average_tokens_per_second(),
            padding_fraction=trained.padding_fraction,
            step_seconds=self._speed.total_seconds,
            peak_memory_bytes=peak_memory,
            findings=self._watch.found,
            save_seconds_p95=self._saves.times.p95(),
        )

    def _write_step(self, report: StepReport, tokens: Tokens, seconds: float) -> None:
        self._watch.write(
            kind="step",
            step=self._at.step,
            epoch=self._epoch(),
            loss=report.loss,
            grad_norm=report.grad_norm,
            learning_rate=report.learning_rate,
            tokens=tokens.real,
            padding=tokens.padding_fraction,
            seconds=seconds,
            input_seconds=report.input_seconds,
        )

    def _epoch(self) -> float:
        return self._at.step / self._run.resolved.steps_per_epoch


def _guard(run: TrainingRun, curves: Curves) -> LossSpikeDetector:
    """Return the guard as it was when this point of the run was reached for the first time, by rank 0's log. Collective."""
    guard = LossSpikeDetector(class_prior_entropy=run.prior_loss)
    guard.remember(run.engine.exchange(curves.losses[-HISTORY_STEPS:].tolist())[0])
    return guard
