"""The search, read top to bottom: train the trials that are left one after another, then publish the best.

Rank 0 alone draws, records and decides; all ranks get what it decided. A trial is a run like any other: with its own settings, its own
checkpoints, from the same pre-trained weights and seed. It never reads the test split.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.search import Evaluated, SearchReport, Trial
from tuneloop_api.v1alpha1.fine_tune_job.training import FALLING
from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.manifest import run_identity
from tuneloop_trainer.checkpoint.on_all_ranks import on_rank_0
from tuneloop_trainer.engine.collectives import Channel
from tuneloop_trainer.errors import ConfigError, NonFiniteLossError, StageError
from tuneloop_trainer.training.loop import Loop
from tuneloop_trainer.training.resume import resume
from tuneloop_trainer.training.search.journal import Journal, check_record
from tuneloop_trainer.training.search.published import published, released
from tuneloop_trainer.training.search.reporter import TrialReporter, shifted
from tuneloop_trainer.training.search.study import Study, planned_trials
from tuneloop_trainer.training.search.trial_run import trial_config, trial_plan
from tuneloop_trainer.training.search.trials import (
    best_of,
    ended_trial,
    nothing_to_publish,
    over_all,
    resumed,
    running,
    steps_of,
    summary_of,
    without_checkpoints,
)
from tuneloop_trainer.training.setup import build, join

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult, TrainResult
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.search import SearchSettings
    from tuneloop_trainer.report import Posts
    from tuneloop_trainer.supervisor.heartbeat import Heartbeat
    from tuneloop_trainer.training.resume import TrainProgress
    from tuneloop_trainer.training.stop_request import StopRequest
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)


class Search:
    """One attempt at a search."""

    def __init__(
        self, config: RunConfig, settings: SearchSettings, *, reporter: Posts, stop: StopRequest, heartbeat: Heartbeat
    ) -> None:
        self._config, self._settings = config, settings
        self._reporter, self._stop, self._heartbeat = reporter, stop, heartbeat
        self._metric = settings.metric or config.settings.training.best_metric
        self._method = config.settings.method.type
        self._total = planned_trials(settings, method=self._method)
        self._start_step: int | None = None
        """Step that this attempt started from, counted over all trials."""
        self._clock_zero = 0.0
        """`time.monotonic()` at which the running trial would have begun, had a single attempt trained it."""
        self._study: Study | None = None
        """On rank 0, once a trial was begun."""

    def run(self) -> TrainResult | None:
        """Train all trials that are left and publish the best; returns the result on rank 0, None on the others."""
        with self._heartbeat.through_pause():
            prepared = join(self._config)
            self._ranks = Channel(doing="searching")
            self._open(prepared)
        while (trial := self._next()) is not None:
            self._end(self._trained(trial, prepared))
        return self._publish(prepared)

    def _open(self, prepared: PrepareResult) -> None:
        """Read the record of earlier attempts, and remove checkpoints that nobody needs. Collective."""
        config, job = self._config, Path(self._config.paths.job_dir)
        identity = run_identity(
            config.config_hash, dataset_digest=prepared.dataset_digest, model_revision=prepared.model_revision
        )

        def opened() -> Any:
            self._journal = Journal(job, identity=identity, attempt=config.attempt)
            return {"identity": self._journal.found_identity, "trials": [t.to_wire() for t in self._journal.trials]}

        found = on_rank_0(self._ranks, opened, doing=f"{job}: the record of the search cannot be read")
        self._trials = [Trial.from_wire(trial) for trial in found["trials"]]
        check_record(
            job,
            found=found["identity"],
            identity=identity,
            is_empty=not self._trials,
            expected_step=config.expected_step,
        )
        if self._ranks.rank == 0:
            self._journal.remove_checkpoints(without_checkpoints(self._trials, self._metric))

    def _next(self) -> Trial | None:
        """Return the trial that was begun and has not ended, else a new one; None after the last. Collective."""
        if (begun := running(self._trials)) is not None:
            return begun
        if len(self._trials) >= self._total:
            return None
        drawn = on_rank_0(self._ranks, self._ask, doing="a new trial cannot be recorded")
        self._trials.append(Trial.from_wire(drawn))
        return self._trials[-1]

    def _ask(self) -> Any:
        trial = Trial(number=len(self._trials) + 1, parameters=self._study_on_rank_0().ask())
        self._journal.write(trial)
        return trial.to_wire()

    def _trained(self, trial: Trial, prepared: PrepareResult) -> Trial:
        """Train a trial from its newest checkpoint, or from the start; return how it ended. Collective."""
        before = steps_of(self._trials, before=trial.number)
        LOG.info("trial %d of %d: %s", trial.number, self._total, trial.parameters)
        try:
            config = trial_config(self._config, trial, steps_before=before)
            with self._heartbeat.through_pause():
                run = build(config, trial_plan(config, prepared))
        except ConfigError as error:
            return changed(trial, state="Refused", reason=error.message)
        try:
            with self._heartbeat.through_pause():
                progress = resume(run)
            return self._run_of(trial, run, progress, steps_before=before)
        finally:
            with self._heartbeat.through_pause():
                released(run)

    def _run_of(self, trial: Trial, run: TrainingRun, progress: TrainProgress, *, steps_before: int) -> Trial:
        """Run the loop of a trial; return how the trial ended."""
        if self._start_step is None:
            self._start_step = steps_before + progress.step
            self._stop.listen()  # as in `attempt.run`: not before the gang is complete
        self._clock_zero = time.monotonic() - trial.seconds
        self._trials[-1] = resumed(trial, step=progress.step, total_steps=run.resolved.total_steps)
        loop = Loop(run, progress, reporter=self._trial_reporter(), stop=self._stop, heartbeat=self._heartbeat)
        reason = None
        try:
            loop.run_trial(self._prunes)
        except NonFiniteLossError as error:
            reason = error.message
        except StageError as error:
            error.train = over_all(error.train, steps_before=steps_before, start_step=self._start_step)
            raise
        ended = ended_trial(
            self._trials[-1],
            progress,
            reason=reason,
            is_pruned=loop.is_pruned,
            publishes_best=run.config.settings.output.checkpoint == "best",
        )
        exactness = "rounding" if "rounding" in {trial.resume, run.checkpoints.exactness} else "exact"
        return changed(ended, resume=exactness, seconds=time.monotonic() - self._clock_zero)

    def _prunes(self, step: int, value: float) -> bool:
        """Record an evaluation of the running trial; return whether the trial is to end here, on all ranks alike. Collective."""
        trial = self._trials[-1]
        is_last = step >= trial.total_steps

        def decided() -> bool:
            prunes = self._study_on_rank_0().prunes(value)
            self._journal.write(evaluated)
            return prunes and not is_last

        evaluations = [*trial.evaluations, Evaluated(step=step, value=value)]
        seconds = time.monotonic() - self._clock_zero
        evaluated = changed(trial, evaluations=evaluations, steps=step, seconds=seconds)
        decision: bool = on_rank_0(self._ranks, decided, doing="an evaluation cannot be recorded")
        self._trials[-1] = evaluated
        return decision

    def _end(self, trial: Trial) -> None:
        """Record the end of a trial, and then remove the checkpoints that nobody needs any more. Collective."""

        def recorded() -> None:
            self._study_on_rank_0().tell(
                trial
            )  # first: a new attempt builds the study from trials of which the last runs
            self._trials[-1] = trial
            self._journal.write(trial)
            self._journal.remove_checkpoints(without_checkpoints(self._trials, self._metric))

        on_rank_0(self._ranks, recorded, doing="the end of a trial cannot be recorded")
        self._trials[-1] = trial
        shown = "" if trial.value is None else f", {self._metric} {trial.value:.4f}"
        LOG.info("trial %d: %s after %d steps%s", trial.number, trial.state, trial.steps, shown)

    def _study_on_rank_0(self) -> Study:
        """Return the study; a new attempt builds it from the record."""
        if self._study is None:
            self._study = Study(
                self._settings,
                method=self._method,
                rises=self._metric not in FALLING,
                seed=self._config.settings.training.seed,
                trials=self._trials,
            )
        return self._study

    def _trial_reporter(self) -> TrialReporter:
        return TrialReporter(
            self._reporter,
            summary=summary_of(self._trials, total=self._total, metric=self._metric),
            finished=self._trials[:-1],
            left=self._total - len(self._trials),
            start_step=self._start_step or 0,
        )

    def _publish(self, prepared: PrepareResult) -> TrainResult | None:
        """Publish the best trial; returns the result on rank 0. Raises NonFiniteLossError or ConfigError if no trial is complete."""
        best = best_of(self._trials, self._metric)
        if best is None:
            raise nothing_to_publish(self._trials)
        before = steps_of(self._trials, before=best.number)
        config = trial_config(self._config, best, steps_before=before)
        with self._heartbeat.through_pause():
            run = build(config, trial_plan(config, prepared))
        result = published(run, best, job=Path(self._config.paths.job_dir), heartbeat=self._heartbeat)
        if self._ranks.rank != 0:
            return None
        summary = summary_of(self._trials, total=self._total, metric=self._metric)
        steps = steps_of(self._trials, before=self._total + 1)
        return changed(
            result,
            start_step=steps if self._start_step is None else self._start_step,
            steps=steps,
            last=shifted(result.last, before),
            best=result.best and shifted(result.best, before),
            search=SearchReport(**dict(summary), record=self._trials, importance=self._study_on_rank_0().importance()),
            resume="rounding" if any(trial.resume == "rounding" for trial in self._trials) else "exact",
        )
