"""Sets up an attempt: joins the gang, opens the prepared data, builds the model on its engine, opens the folder of checkpoints."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint import Checkpoints
from tuneloop_trainer.checkpoint.manifest import run_identity
from tuneloop_trainer.dataset.shards import open_split, read_manifest
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.engine.devices import require_devices
from tuneloop_trainer.engine.engine import Engine, EngineSettings, start_process_group, zero3_context
from tuneloop_trainer.engine.precision import with_precision_of_gang
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.build import build_for_training
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.stage_result import read_result
from tuneloop_trainer.tasks import task_of
from tuneloop_trainer.training.batch_schedule import BatchSchedule
from tuneloop_trainer.training.intervals import SaveAndEvalIntervals
from tuneloop_trainer.training.lr_schedule import Schedule
from tuneloop_trainer.training.training_run import TrainingRun

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import RunConfig

LOG = logging.getLogger(__name__)


def join(config: RunConfig) -> PrepareResult:
    """Join the gang; return what `prepare` handed on. Collective.

    Raises ConfigError, StorageError (PreparedDataLostError), CollectiveError.
    """
    require_devices(config.settings.gang.gpus_per_node, visible=torch.cuda.device_count())
    start_process_group()
    return read_result(config.prepare_result, PrepareResult, field="prepareResult")


def set_up(config: RunConfig) -> TrainingRun:
    """Join the gang and build all parts of the attempt. Collective.

    Raises ConfigError, StorageError (PreparedDataLostError), ModelAccessError, CollectiveError.
    """
    prepared = with_precision_of_gang(join(config), chosen=config.settings.training.precision)
    return build(config, with_micro_batch(prepared, config.micro_batch_size))


def build(config: RunConfig, prepared: PrepareResult) -> TrainingRun:
    """Build all parts of an attempt from a plan that this gang can carry out. Collective.

    Raises ConfigError, StorageError, ModelAccessError.
    """
    dataset = Path(prepared.dataset_path)
    splits = {name: open_split(dataset, name) for name in SPLITS}
    pad_id = read_manifest(dataset).tokenizer.pad_token_id
    engine = _engine(config, prepared, pad_id=pad_id)
    training, resolved = config.settings.training, prepared.resolved
    return TrainingRun(
        config=config,
        prepared=prepared,
        task=task_of(config.settings)
        .on(splits["train"])
        .balanced(splits["train"], config.settings.data.balance, classes=len(resolved.labels)),
        method=method_of(config.settings.method),
        splits=splits,
        pad_id=pad_id,
        batch_schedule=BatchSchedule(
            splits["train"].all_lengths,
            seed=training.seed,
            global_batch=resolved.global_batch_size,
            micro_batch=resolved.micro_batch_size,
            packed=bool(resolved.packed),
        ),
        schedule=Schedule(
            scheduler=training.scheduler,
            peak=resolved.learning_rate,
            warmup_steps=resolved.warmup_steps,
            total_steps=resolved.total_steps,
        ),
        intervals=SaveAndEvalIntervals(
            evaluate_every=training.evaluate_every,
            checkpoint=config.settings.checkpoint,
            steps_per_epoch=resolved.steps_per_epoch,
            total_steps=resolved.total_steps,
        ),
        engine=engine,
        checkpoints=_checkpoints(config, prepared, engine),
    )


def with_micro_batch(prepared: PrepareResult, rows: int | None) -> PrepareResult:
    """Return the plan with micro-batches of so many rows; None: as planned. The global batch stays the same.

    Raises ConfigError if the rows of a micro-batch do not divide the global batch.
    """
    if rows is None:
        return prepared
    if rows < 1 or prepared.resolved.global_batch_size % rows:
        raise ConfigError(
            f"run.json: microBatchSize: {rows} does not divide the global batch of {prepared.resolved.global_batch_size} rows"
        )
    return changed(prepared, resolved=changed(prepared.resolved, micro_batch_size=rows))


def _engine(config: RunConfig, prepared: PrepareResult, *, pad_id: int) -> Engine:
    """Load the model, make the method's parameters trainable, and put the model on the engine. Collective."""
    training, resolved = config.settings.training, prepared.resolved
    settings = EngineSettings(
        zero_stage=resolved.zero_stage,
        precision=resolved.precision,
        micro_batch_size=resolved.micro_batch_size,
        max_grad_norm=training.max_grad_norm,
        learning_rate=resolved.learning_rate,
        weight_decay=training.weight_decay,
        beta1=training.beta1,
        beta2=training.beta2,
        epsilon=training.epsilon,
        offload_optimizer=config.settings.deepspeed.offload_optimizer == "cpu",
    )
    task = task_of(config.settings)
    with zero3_context(settings):
        model: Any = load_model(
            Path(prepared.model_path),
            task=task,
            labels=resolved.labels,
            pad_token_id=pad_id,
            dropout=training.dropout,
            seed=training.seed,
        )
    origin = model.head_origin
    model, factors = build_for_training(model, config.settings, task=task, seed=training.seed)
    engine = Engine(model.train(), settings, rate_factors=factors)
    if engine.rank == 0:
        LOG.info("head: %s", origin)
    return engine


def _checkpoints(config: RunConfig, prepared: PrepareResult, engine: Engine) -> Checkpoints:
    folder = Path(config.paths.job_dir) / "checkpoints"
    identity = run_identity(
        config.config_hash, dataset_digest=prepared.dataset_digest, model_revision=prepared.model_revision
    )
    fingerprint = {"numpy": version("numpy")}  # it draws the order of the rows
    return Checkpoints(folder, engine=engine, config_hash=identity, attempt=config.attempt, fingerprint=fingerprint)
