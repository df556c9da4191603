"""Chooses every value that the spec left open, from the data and the model. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import Resolved
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods import usual_learning_rate
from tuneloop_trainer.methods.combinations import refuse_combination

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.results import Precision
    from tuneloop_api.contract.settings import Settings, TrainingSettings
    from tuneloop_trainer.models.source import Architecture

LARGEST_MICRO_BATCH = 16


def resolve(
    settings: Settings, *, labels: Sequence[str], max_tokens: int, train_rows: int, architecture: Architecture
) -> Resolved:
    """Return the whole plan. Raises ConfigError where the spec contradicts itself, or combines what does not go together."""
    training = settings.training
    precision = planned_precision(settings)
    steps_per_epoch = math.ceil(train_rows / training.global_batch_size)
    zero_stage = _zero_stage(settings, precision=precision)
    refuse_combination(
        settings.method, task=settings.task, family=architecture, zero_stage=zero_stage, precision=precision
    )
    total_steps = training.max_steps or max(1, math.ceil((training.epochs or 0) * steps_per_epoch - 1e-9))
    return Resolved(
        labels=list(labels),
        max_tokens=max_tokens,
        global_batch_size=training.global_batch_size,
        micro_batch_size=_micro_batch_size(training),
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        warmup_steps=_warmup_steps(training, total_steps=total_steps),
        learning_rate=_learning_rate(settings, architecture=architecture),
        precision=precision,
        zero_stage=zero_stage,
    )


def planned_micro_batch(global_batch: int) -> int:
    """Return the rows of a micro-batch where the spec leaves them open. The number of ranks plays no part.

    It is the largest divisor of the global batch that is at most 16 and leaves an even number of micro-batches, so that two ranks have
    the same work. If that divisor is less than half of the largest divisor, it is the largest divisor.
    """
    divisors = [size for size in range(1, min(LARGEST_MICRO_BATCH, global_batch) + 1) if global_batch % size == 0]
    largest = divisors[-1]
    even = [size for size in divisors if (global_batch // size) % 2 == 0 and size >= max(2, largest / 2)]
    return even[-1] if even else largest


def _micro_batch_size(training: TrainingSettings) -> int:
    given = training.micro_batch_size
    if given is None:
        return planned_micro_batch(training.global_batch_size)
    if training.global_batch_size % given:
        raise ConfigError(
            f"training.microBatchSize: {given} does not divide globalBatchSize {training.global_batch_size}",
            hint=f"for example microBatchSize: {planned_micro_batch(training.global_batch_size)}",
        )
    return given


def _warmup_steps(training: TrainingSettings, *, total_steps: int) -> int:
    if training.warmup_steps is None:
        return math.ceil((training.warmup_ratio or 0.0) * total_steps)
    if training.warmup_steps > total_steps:
        raise ConfigError(
            f"training.warmupSteps: {training.warmup_steps} is more than the whole run, which has {total_steps} steps",
            hint="set it lower, or use warmupRatio",
        )
    return training.warmup_steps


def _learning_rate(settings: Settings, *, architecture: Architecture) -> float:
    if settings.training.learning_rate is not None:
        return settings.training.learning_rate
    return usual_learning_rate(settings.method, architecture=architecture)


def planned_precision(settings: Settings) -> Precision:
    """Return the number format. `auto` plans bf16 where the gang has GPUs; the ranks check whether their GPU can (`engine.precision`)."""
    if settings.training.precision != "auto":
        return settings.training.precision
    return "bf16" if settings.gang.gpus_per_node > 0 else "fp32"


def _zero_stage(settings: Settings, *, precision: Precision) -> int:
    """Return the ZeRO stage. Stage 0 keeps no fp32 copy of bf16 weights, so that stage 1 takes its place for bf16.

    On CPU memory is seldom short, and a step of ZeRO-2 takes a third more time than a step of stage 0.
    """
    single = settings.gang.nodes * settings.gang.processes_per_node == 1
    given = settings.deepspeed.stage
    offloads = settings.deepspeed.offload_optimizer == "cpu"
    if given is None:
        return 0 if settings.gang.gpus_per_node == 0 and not offloads else 1 if single else 2
    return 1 if given == 0 and precision == "bf16" else given
