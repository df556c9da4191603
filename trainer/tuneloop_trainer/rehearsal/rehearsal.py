"""Goes the whole way of a job once: train, write the weights, export, compare, load as the server does.

Each part calls what the job will call: the task, the method, the loader, the exporters and the comparison of `export`. Nothing of the job changes:
all files lie in a folder that is removed, and random numbers go on as if nothing had been.
"""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_api.contract.results import SavedStep, TrainResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.dataset.shards import read_manifest
from tuneloop_trainer.errors import ConfigError, UserCodeError
from tuneloop_trainer.export.checked_files import check_files, write_files
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.export.exporters.merged import MERGED
from tuneloop_trainer.export.exporters.onnx_model import ONNX
from tuneloop_trainer.export.onnx_files import write_checked_onnx
from tuneloop_trainer.export.parity import Sample, trained_logits
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.trained import TrainedModel, write_trained
from tuneloop_trainer.rehearsal.choose_model import ChosenModel, choose_model
from tuneloop_trainer.rehearsal.faults import part
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed, time_limit
from tuneloop_trainer.rehearsal.random_state import random_state_kept
from tuneloop_trainer.rehearsal.rows import PickedRows, pick_rows
from tuneloop_trainer.rehearsal.serving import require_answer
from tuneloop_trainer.rehearsal.steps import head_of, train
from tuneloop_trainer.rehearsal.threads import usable_cores_only
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tuneloop_api.contract.results import Precision, PrepareResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.models.source import PretrainedModel
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.tasks.task import Task

LOG = logging.getLogger(__name__)
_NO_BFLOAT16 = "not implemented for 'BFloat16'"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a rehearsal may cost."""

    seconds: float = 120.0
    """A rehearsal that takes longer ends, and the job goes on without."""
    parameters: int = 50_000_000
    """Of a model that is rehearsed as it is. Its steps, its export and its comparison take about half a minute on two cores."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsal works with."""

    settings: Settings
    prepared: PrepareResult
    """The plan and the prepared data; for the model, see `chosen`."""
    rows: PickedRows
    chosen: ChosenModel
    folder: Path
    """Where files may lie until the rehearsal is over."""

    @property
    def task(self) -> Task:
        """The task of the job."""
        return task_of(self.settings)

    @property
    def gpu(self) -> bool:
        """Whether the job trains on GPUs, which the rehearsal does not have."""
        return self.settings.gang.gpus_per_node > 0

    @property
    def pad_id(self) -> int:
        """Token that pads, as in training."""
        return read_manifest(Path(self.prepared.dataset_path)).tokenizer.pad_token_id


def rehearse(
    settings: Settings,
    prepared: PrepareResult,
    *,
    model: PretrainedModel,
    shape: ModelShape | None,
    scratch: Path,
    limits: Limits = Limits(),
) -> str:
    """Return in a few words what was rehearsed, or why nothing was. shape: sizes of the model; None: they are not known.

    scratch: a folder to make and to remove. Raises ConfigError, ModelAccessError or UserCodeError where the job would fail, naming the part.
    """
    begun = time.monotonic()
    try:
        with random_state_kept(), usable_cores_only(), time_limit(limits.seconds), _folder(scratch) as folder:
            with part("as its rows and its model were chosen", gpu=True):
                rows = pick_rows(Path(prepared.dataset_path), task=task_of(settings), tokenizer=model.tokenizer)
                chosen = choose_model(settings, prepared, rows=rows, shape=shape, folder=folder, most=limits.parameters)
            rehearsal = Rehearsal(settings=chosen.settings, prepared=prepared, rows=rows, chosen=chosen, folder=folder)
            with part("as the tokenizer was compared with the model", gpu=False):
                _require_padding(rehearsal, model)
            _run(rehearsal)
    except NotRehearsed as reason:
        LOG.warning("not rehearsed: %s", reason)
        return f"not rehearsed: {reason}"
    done = f"trained, saved, exported and loaded {chosen.description} in {time.monotonic() - begun:.1f} s"
    LOG.info("rehearsed: %s", done)
    return done


@contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    """Give an empty folder, which is removed at the end, as is one that an earlier process left."""
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise NotRehearsed(f"{scratch}: {error.strerror}") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _require_padding(rehearsal: Rehearsal, model: PretrainedModel) -> None:
    """Raise ConfigError if the token that pads has no embedding. Rows are made without padding, so that nothing has met the token before."""
    if rehearsal.pad_id >= model.vocabulary:
        raise ConfigError(
            f"spec.model.uri: the tokenizer pads with the id {rehearsal.pad_id}, the model has {model.vocabulary} embeddings, from 0 on",
            hint="set pad_token in tokenizer_config.json to a token that the model knows, or add its embedding (resize_token_embeddings) and save the model",
        )


def _run(rehearsal: Rehearsal) -> None:
    precision = rehearsal.prepared.resolved.precision
    try:
        measured = _train(rehearsal, precision)
    except (UserCodeError, NotRehearsed) as error:
        if precision == "fp32" or _NO_BFLOAT16 not in str(error):
            raise
        precision = "fp32"
        measured = _train(rehearsal, precision)
    _export(rehearsal, measured, precision)


def _train(rehearsal: Rehearsal, precision: Precision) -> NDArray[np.float32]:
    """Train the model and write its weights; return the logits that the trained model gives for the picked rows."""
    settings, resolved, gpu = rehearsal.settings, rehearsal.prepared.resolved, rehearsal.gpu
    training, proven = settings.training, rehearsal.chosen.proven
    with part("as the model was loaded", gpu=gpu, proven=proven):
        model: Any = load_model(
            rehearsal.chosen.folder,
            task=rehearsal.task,
            labels=resolved.labels,
            pad_token_id=rehearsal.pad_id,
            dropout=training.dropout,
            seed=training.seed,
        )
        head = head_of(model, labels=len(resolved.labels))
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # peft asks transformers by an old name; it concerns nobody here
            model = method_of(settings.method).build(model, settings.method, task=rehearsal.task, seed=training.seed)
    with part("in training", gpu=gpu, proven=proven):
        torch.manual_seed(training.seed)
        weights = train(
            model,
            rehearsal.rows,
            task=rehearsal.task.on(rehearsal.rows.split),
            head=head,
            pad_id=rehearsal.pad_id,
            label_smoothing=training.label_smoothing,
            precision=precision,
        )
        in_training = replace(_sample(rehearsal, None), task=rehearsal.task.on(rehearsal.rows.split))
        measured = trained_logits(model.eval(), in_training, pad_token_id=rehearsal.pad_id)
    with part("as the trained weights were saved", gpu=gpu):
        description = TrainedModel(
            method=settings.method,
            labels=resolved.labels,
            pad_token_id=rehearsal.pad_id,
            step=1,
            target_scale=in_training.task.target_scale,
        )
        write_trained(rehearsal.folder / "weights", weights, description)
    return measured


def _export(rehearsal: Rehearsal, measured: NDArray[np.float32], precision: Precision) -> None:
    inputs = ExportInputs(
        settings=rehearsal.settings,
        prepared=changed(rehearsal.prepared, model_path=str(rehearsal.chosen.folder)),
        trained=_train_result(rehearsal.folder / "weights", precision),
    )
    expected, artifact = _sample(rehearsal, measured), rehearsal.folder / "artifact"
    with part("in export", gpu=False):
        exporters, trained = write_files(artifact, inputs, expected)
    with part("as the exported files were compared with the trained model", gpu=False):
        check_files(artifact, exporters, inputs, expected=expected, trained=trained)
    if MERGED in exporters:
        with part("as the exported model was loaded like the server does", gpu=False):
            labels = rehearsal.prepared.resolved.labels
            require_answer(artifact / MERGED.folder, expected.texts[0], task=rehearsal.task, labels=labels)
    if ONNX.wanted(inputs):
        with part("as the model was written as onnx", gpu=False):
            write_checked_onnx(artifact, inputs, expected=expected, trained=trained)


def _sample(rehearsal: Rehearsal, measured: NDArray[np.float32] | None) -> Sample:
    """Return the picked rows as `export` compares them. measured: logits of the trained model; None: not known yet."""
    rows, task = rehearsal.rows, rehearsal.task
    lines = task.lines_per_row(rows.split)
    row_of_line = np.repeat(np.arange(len(lines)), lines)
    is_picked = np.isin(row_of_line, rows.chosen)
    return Sample(
        task=task,
        split=rows.split,
        chosen=rows.chosen,
        texts=rows.texts,
        row_of_line=rows.split.rows[row_of_line[is_picked]],
        fitted=task.on(rows.split),
        labels=task.target_labels(rows.split)[is_picked],
        measured=measured,  # type: ignore[arg-type]  # only the comparison reads it
    )


def _train_result(weights: Path, precision: Precision) -> TrainResult:
    """Return what training would hand on to export, for what export reads of it: the weights, and their precision."""
    return TrainResult(
        attempt=0,
        start_step=0,
        steps=1,
        world_size=1,
        stopped_early=False,
        last=SavedStep(step=1, path=""),
        weights_path=str(weights),
        predictions={},
        log_path="",
        resume="exact",
        precision=precision,
        tokens_per_second=0.0,
        padding_fraction=0.0,
    )
