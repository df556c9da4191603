"""The training loop, read top to bottom: evaluate before training, train, evaluate after it, return the result.

Every rank runs this code in step with the others: all that decides (losses, metrics, flags, the batch schedule) is equal on all ranks.
Whatever only listens to the loop is in `listeners/`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.results import TrainResult, TrainSummary
from tuneloop_trainer.errors import NonFiniteLossError, Preempted, StageError
from tuneloop_trainer.evaluation.predictions import BEFORE_TEST
from tuneloop_trainer.training.batch_schedule import Tokens
from tuneloop_trainer.training.checkpoint_saver import CheckpointSaver
from tuneloop_trainer.training.final_evaluation import (
    measure_after_training,
    measure_before_training,
    predict_split,
    predictions_path,
    write_weights,
)
from tuneloop_trainer.training.listeners.listener import EndEvent, EvaluationEvent, StartEvent, StepEvent
from tuneloop_trainer.training.listeners.listeners import listeners_of
from tuneloop_trainer.training.loss_spikes import HISTORY_STEPS, LossSpikeDetector, check_finite
from tuneloop_trainer.training.resume import load_chosen
from tuneloop_trainer.training.speed import Speed
from tuneloop_trainer.training.step import StepReport, make_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneloop_trainer.diagnosis.curves import Curves
    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.report import Posts
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.resume import TrainProgress
    from tuneloop_trainer.training.stop_request import StopRequest
    from tuneloop_trainer.training.training_run import TrainingRun


class Loop:
    """One attempt at a run."""

    def __init__(
        self, run: TrainingRun, progress: TrainProgress, *, reporter: Posts, stop: StopRequest, heartbeat: Heartbeat
    ) -> None:
        self._run, self._progress, self._stop, self._heartbeat = run, progress, stop, heartbeat
        self._start_step = progress.step
        self._exactness = run.checkpoints.exactness
        self._speed = Speed()
        self._measured: dict[int, Predictions] = {}
        """Validation predictions by step, of the steps that may be published."""
        own = listeners_of(run, progress, reporter=reporter)
        self._listeners, self._diagnosis = own.listeners, own.diagnosis
        self._saver = CheckpointSaver(run, progress, listeners=self._listeners, heartbeat=heartbeat)
        self._spike_detector = _spike_detector(run, self._diagnosis.curves)
        self._report_before: StepReport | None = None
        """Report of the step before, in this attempt."""
        self._save_is_owed = False
        """A save fell due during a loss spike."""
        self._prunes: Callable[[int, float], bool] = _never
        self.is_pruned = False
        """Whether a trial ended early, since others were better."""

    def run(self) -> TrainResult | None:
        """Train to the end and return the result; an error carries a summary of how far training has come."""
        with self._told_of_errors():
            self._begin()
            if self._progress.step == 0:
                measure_before_training(self._run, beat=self._heartbeat.beat)
            self._train()
            return self._finish()

    def run_trial(self, prunes: Callable[[int, float], bool]) -> None:
        """Train to the end as a trial of a search, which leaves the test split alone; an error carries a summary as in `run`.

        prunes: takes each evaluation, its step and the best metric, and says whether the trial ends there; the same on all ranks.
        """
        self._prunes = prunes
        with self._told_of_errors():
            self._begin()
            try:
                self._train()
            except NonFiniteLossError:  # the search goes on: nothing may be written beside the next trial
                self._saver.end()
                raise
            self._listeners.on_last_step(self._progress.step)
            self._listeners.on_end(EndEvent(step=self._progress.step, metrics={}))

    @contextmanager
    def _told_of_errors(self) -> Iterator[None]:
        """Let an error carry a summary, and tell the listeners of it."""
        try:
            yield
        except Exception as error:
            if isinstance(error, StageError):
                error.train = self._summary()
            self._listeners.on_end(EndEvent(step=self._progress.step, metrics={}, error=error))
            raise

    def _begin(self) -> None:
        progress = self._progress
        self._listeners.on_start(StartEvent(step=progress.step, last=progress.last, best=progress.best))
        self._leave_if_asked()

    def _train(self) -> None:
        """Make all steps, and save the last one; of a pruned trial nothing more is saved."""
        self._evaluate_if_due()
        while not self._finished():
            report = self._step()
            if report.saves_ready:
                self._saver.commit()
            if report.stop:
                self._save_and_leave()
            self._evaluate_if_due()
            if self.is_pruned:
                break
            if self._finished():
                self._spike_detector.check_end()
            self._save_is_owed |= report.save
            if self._is_new_best() or (self._save_is_owed and not self._spike_detector.in_spike):
                self._saver.begin()
                self._save_is_owed = False
        if self.is_pruned:
            self._saver.end()
        else:
            self._saver.save_now()

    def _finished(self) -> bool:
        progress, training = self._progress, self._run.training
        return self.is_pruned or progress.step >= self._run.resolved.total_steps or progress.selection.stops(training)

    def _step(self) -> StepReport:
        """Make the next step."""
        began = time.monotonic()
        step = self._progress.step + 1
        report = make_step(
            self._run,
            self._progress.step,
            stop=self._stop.asked,
            save=self._run.is_main_rank and self._saver.due(step),
            save_ready=self._saver.ready,
            beat=self._heartbeat.beat,
            before=self._report_before,
        )
        tokens = self._run.batch_schedule.tokens(self._progress.step)
        seconds = time.monotonic() - began
        self._progress.step, self._report_before = step, report
        self._speed.add(seconds=seconds, tokens=tokens.real)
        self._heartbeat.step_done(step, slow_step_seconds=self._speed.slow_step_seconds())
        event = StepEvent(
            step=step, epoch=self._epoch(), report=report, tokens=tokens, seconds=seconds, speed=self._speed
        )
        self._listeners.on_step(event)
        self._spike_detector.add(step, report.loss)
        return report

    def _evaluate_if_due(self) -> None:
        """Evaluate the validation split, unless the checkpoint that training resumed from holds the evaluation of this very step."""
        progress, step = self._progress, self._progress.step
        if not self._run.intervals.evaluation_due(step) or progress.selection.evaluated_step == step:
            return
        predictions = predict_split(self._run, "validation", beat=self._heartbeat.beat)
        metrics = self._run.task.metrics(predictions, self._run.resolved.labels)
        check_finite("validation loss", metrics["loss"], step)
        progress.selection = progress.selection.with_evaluation(step, metrics, self._run.training)
        self._measured[step] = predictions
        wanted = {step, progress.selection.best.step if progress.selection.best else step}
        self._measured = {step: kept for step, kept in self._measured.items() if step in wanted}
        event = EvaluationEvent(step=step, epoch=self._epoch(), split="validation", metrics=metrics)
        self._listeners.on_evaluation(event)
        self.is_pruned = self._prunes(step, metrics[self._run.training.best_metric])

    def _is_new_best(self) -> bool:
        best = self._progress.selection.best
        return best is not None and best.step == self._progress.step

    def _save_and_leave(self) -> None:
        """Save and leave. During a loss spike, only commit the save that was begun before."""
        if self._spike_detector.in_spike:
            self._saver.commit()
        else:
            self._saver.save_now()
        self._leave()

    def _leave_if_asked(self) -> None:
        """Leave if any rank was asked to stop; for the phases between the steps, since only steps carry the flag."""
        flag = torch.full((1,), float(self._stop.asked), dtype=torch.float64)
        if self._run.engine.all_reduce_sum(flag).item() > 0:
            self._leave()

    def _leave(self) -> None:
        last = self._progress.last
        raise Preempted(
            f"asked to stop after step {self._progress.step} of {self._run.resolved.total_steps}; "
            f"the newest checkpoint is of step {0 if last is None else last.step}"
        )

    def _finish(self) -> TrainResult | None:
        """Evaluate and write the weights to publish; returns the result on rank 0."""
        self._leave_if_asked()
        self._listeners.on_last_step(self._progress.step)
        with self._heartbeat.through_pause():
            chosen = load_chosen(self._run, self._progress)
        metrics = measure_after_training(self._run, self._measured.get(chosen), beat=self._heartbeat.beat)
        with self._heartbeat.through_pause():
            weights = write_weights(self._run, step=chosen)
        peak = self._run.engine.peak_memory_bytes()
        self._listeners.on_end(EndEvent(step=chosen, metrics=metrics))
        return self._result(str(weights), peak_memory=peak) if self._run.is_main_rank else None

    def _summary(self) -> TrainSummary:
        return TrainSummary(
            start_step=self._start_step,
            steps=self._progress.step,
            world_size=self._run.engine.world_size,
            last=self._progress.last,
            best=self._progress.best,
            resume=self._exactness,
            precision=self._run.resolved.precision,
            step_seconds=self._speed.total_seconds,
            save_seconds_p95=self._saver.times.p95(),
            findings=self._diagnosis.found or None,
        )

    def _result(self, weights: str, *, peak_memory: int) -> TrainResult:
        progress, run = self._progress, self._run
        assert progress.last is not None, "the last step is always saved"
        trained = sum((run.batch_schedule.tokens(step) for step in range(progress.step)), Tokens(0, 0))
        files = {name: predictions_path(run.job, name) for name in ("validation", "test", BEFORE_TEST)}
        return TrainResult(
            attempt=run.config.attempt,
            world_size=run.engine.world_size,
            start_step=self._start_step,
            steps=progress.step,
            stopped_early=progress.step < run.resolved.total_steps,
            last=progress.last,
            best=progress.best,
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
            findings=self._diagnosis.found,
            save_seconds_p95=self._saver.times.p95(),
        )

    def _epoch(self) -> float:
        return self._progress.step / self._run.resolved.steps_per_epoch


def _never(_step: int, _value: float) -> bool:
    """Prune nothing."""
    return False


def _spike_detector(run: TrainingRun, curves: Curves) -> LossSpikeDetector:
    """Return the detector as it was when the run first reached this step, rebuilt from the losses that rank 0 has. Collective."""
    detector = LossSpikeDetector(class_prior_entropy=run.prior_loss)
    detector.replay(run.engine.exchange(curves.losses[-HISTORY_STEPS:].tolist())[0])
    return detector
