"""What is measured outside the steps: the test split before training, and the chosen weights on validation and test after it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.evaluation.predictions import BEFORE_TEST, are_written
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.trained import TrainedModel, write_trained
from tuneloop_trainer.training.evaluation_loop import predict
from tuneloop_trainer.training.generation_loop import written_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_trainer.evaluation.predictions import Predictions
    from tuneloop_trainer.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)


def predictions_path(job: Path, name: str) -> Path:
    """Return the predictions file of a split, or of BEFORE_TEST."""
    return job / "predictions" / f"{name}.safetensors"


def predict_test(run: TrainingRun, *, beat: Callable[[], None]) -> Predictions:
    """Return the current weights' predictions for the test split, as `predict_split`; where the task writes texts, with what is counted of these."""
    predictions, generation = predict_split(run, "test", beat=beat), run.task.generation
    if generation is None:
        return predictions
    sums = written_sums(
        run.engine,
        run.splits["test"],
        dataset=Path(run.prepared.dataset_path),
        task=run.task,
        generation=generation,
        batch_size=run.resolved.micro_batch_size,
        pad_id=run.pad_id,
        beat=beat,
    )
    return replace(predictions, values=np.concatenate([predictions.values, sums], axis=1))


def predict_split(run: TrainingRun, name: str, *, beat: Callable[[], None]) -> Predictions:
    """Return the current weights' predictions for a split; collective, the same on all ranks."""
    predictions = predict(
        run.engine,
        run.splits[name],
        task=run.task,
        labels=run.resolved.labels,
        batch_size=run.resolved.micro_batch_size,
        pad_id=run.pad_id,
        beat=beat,
    )
    complete = run.task.complete
    return (
        predictions if complete is None else replace(predictions, values=complete(run.splits[name], predictions.values))
    )


def measure_before_training(run: TrainingRun, *, beat: Callable[[], None]) -> None:
    """Keep the test predictions of the untrained model as a baseline; done once, however often training restarts.

    They are measured again if the data changed: a job that is submitted again after an early failure uses the same folder.
    """
    path, dataset = predictions_path(run.job, BEFORE_TEST), run.prepared.dataset_digest
    is_measured = run.is_main_rank and are_written(path, dataset=dataset)
    there = run.engine.exchange(is_measured)[0]  # rank 0's answer: another node may see the volume later
    if there or not run.config.settings.evaluation.baselines:
        return
    with method_of(run.config.settings.method).as_base(run.engine.model):
        predictions = predict_test(run, beat=beat)
    if run.is_main_rank:
        predictions.write(path, dataset=dataset)
        primary = run.task.primary_metric
        value = run.task.metrics(predictions, run.resolved.labels)[primary]
        LOG.info("before training: test %s %.4f", primary, value)


def measure_after_training(
    run: TrainingRun, validation: Predictions | None, *, beat: Callable[[], None]
) -> dict[str, dict[str, float]]:
    """Write the predictions of the current weights for validation and test; returns their metrics.

    `validation`: what these very weights predicted during training, if that is still at hand.
    """
    measured = {
        "validation": validation or predict_split(run, "validation", beat=beat),
        "test": predict_test(run, beat=beat),
    }
    if run.is_main_rank:
        for name, predictions in measured.items():
            predictions.write(predictions_path(run.job, name), dataset=run.prepared.dataset_digest)
    return {name: run.task.metrics(predictions, run.resolved.labels) for name, predictions in measured.items()}


def write_weights(run: TrainingRun, *, step: int) -> Path:
    """Write the current weights to the folder that `export` reads; collective. Returns the folder."""
    folder = run.job / "weights"
    weights = run.engine.trainable_state()
    if run.is_main_rank:
        description = TrainedModel(
            method=run.config.settings.method,
            labels=run.resolved.labels,
            pad_token_id=run.pad_id,
            step=step,
            target_scale=run.task.target_scale,
        )
        write_trained(folder, weights, description)
    return folder
