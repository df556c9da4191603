"""Tells whether a model computes the same losses from packed rows as from the rows alone.

Each architecture has its own way to positions and masks, so that only trying shows whether rows of a line are kept apart. The trial is made once for a job, on CPU and in fp32, before any GPU is held:
with the model itself where it is small, else with a smaller one of its architecture. Nothing of the job changes.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_trainer.dataset.shards import IGNORED, open_split, read_manifest
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.failures import first_line
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.packed_inputs import read_packed_batches
from tuneloop_trainer.rehearsal.cut_down import cut_down
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed, time_limit
from tuneloop_trainer.rehearsal.random_state import random_state_kept
from tuneloop_trainer.rehearsal.threads import usable_cores_only
from tuneloop_trainer.tasks import task_of
from tuneloop_trainer.tasks.packing import lay_out, pack
from tuneloop_trainer.tasks.task import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from tuneloop_api.contract.results import PrepareResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.tasks.task import Task

LOG = logging.getLogger(__name__)
TOLERANCE = 1e-5
"""Largest difference of a row's mean loss, as a part of the loss where that is more than 1."""
_MOST_PARAMETERS = 20_000_000
"""Of a model that is tried as it is; its trial takes a few seconds."""
_MOST_TOKENS = 512
"""Tokens of the longest row of the trial, if a shorter row is there."""
_SHORT_ROWS = 6
_WEIGHTS = 0.1
"""Standard deviation of a smaller model's matrices. With those that training begins with, its layers hardly change what they read, and tokens of another row would not show."""
_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class PackingCheck:
    """What the trial showed."""

    passes: bool
    note: str | None
    """Why rows are not packed, for a person; None: they are, or there is nothing to pack."""


def check_packing(
    settings: Settings, prepared: PrepareResult, *, shape: ModelShape | None, scratch: Path
) -> PackingCheck:
    """Return whether rows are packed in training. shape: sizes of the model; None: they are not known. scratch: a folder to make and to remove.

    Raises ConfigError if `data.packing: always` is set, and the model cannot read packed rows.
    """
    task = task_of(settings)
    rows = rows_to_try(open_split(Path(prepared.dataset_path), "train").lengths)
    if rows is None:
        LOG.info("packing: no two rows fit into a line as long as the longest: there is nothing to pack")
        return PackingCheck(passes=False, note=None)
    try:
        with random_state_kept(), usable_cores_only(), time_limit(_SECONDS):
            problem = _problem(settings, prepared, rows=rows, task=task, shape=shape, scratch=scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if problem is None:
        LOG.info("packing: packed rows have the losses of the rows alone")
        return PackingCheck(passes=True, note=None)
    if settings.data.packing == "always":
        raise ConfigError(
            f"spec.data.packing: must not be always for a model of type {prepared.model_type}: {problem}",
            hint="leave data.packing out: rows are not packed then",
        )
    return PackingCheck(passes=False, note=f"rows are not packed (data.packing): {problem}")


def rows_to_try(lengths: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return a long row, and the shortest rows, of which two share a line as long as the long one. None: no two rows of the split fit into a line. lengths: of all rows, [N]."""
    order = np.argsort(lengths, kind="stable")
    room = int(lengths[order[:2]].sum())
    long = [row for row in order[2:].tolist() if lengths[row] >= room]
    if not long:
        return None
    longest = ([row for row in long if lengths[row] <= _MOST_TOKENS] or long[:1])[-1]
    return np.array([longest, *(row for row in order[:_SHORT_ROWS].tolist() if row != longest)])


def _problem(
    settings: Settings,
    prepared: PrepareResult,
    *,
    rows: NDArray[np.int64],
    task: Task,
    shape: ModelShape | None,
    scratch: Path,
) -> str | None:
    """Return why the model cannot read packed rows, with both losses where they differ; None: it can."""
    split = open_split(Path(prepared.dataset_path), "train")
    pad_id = read_manifest(Path(prepared.dataset_path)).tokenizer.pad_token_id
    lengths, batch = split.lengths[rows], task.collate(split, rows, pad_id)
    assert lay_out(lengths).lines < len(rows)  # `rows_to_try` has seen to it
    try:
        model = _model(settings, prepared, task=task, shape=shape, pad_id=pad_id, scratch=scratch)
        alone = row_losses(model, batch, lengths, task=task, pad_id=pad_id, packed=False)
        packed = row_losses(model, batch, lengths, task=task, pad_id=pad_id, packed=True)
    except NotRehearsed as reason:
        return f"whether the model can read packed rows was not tried: {reason}"
    except Exception as error:  # noqa: BLE001  (the model's own code, on inputs that nobody has made it for)
        return f"the model's code does not take packed rows: {first_line(error)}"
    return difference(alone, packed)


def difference(alone: NDArray[np.float64], packed: NDArray[np.float64]) -> str | None:
    """Return in words how mean losses of rows differ, [B] each; None: they are equal within `TOLERANCE`."""
    off = np.abs(alone - packed) / np.maximum(1.0, np.abs(alone))
    worst = int(np.nan_to_num(off, nan=np.inf).argmax())
    if off[worst] <= TOLERANCE:
        return None
    return f"a row has a loss of {packed[worst]:.6f} beside other rows and of {alone[worst]:.6f} alone, as the architecture does not keep the rows of a line apart"


def row_losses(
    model: nn.Module, batch: Batch, lengths: NDArray[np.int64], *, task: Task, pad_id: int, packed: bool
) -> NDArray[np.float64]:
    """Return the mean loss of each row, [B]: of the batch packed, or of each row by itself. lengths: tokens of each row, [B]. The model reads packed batches."""
    if packed:
        whole = pack(batch, lengths, pad_id=pad_id)
        output = _output(model, whole)
        of_rows = [pack(_with_targets_of(batch, row), lengths, pad_id=pad_id).labels for row in range(len(lengths))]
        return np.array([_mean_loss(task, output, labels) for labels in of_rows])
    losses = []
    for row, length in enumerate(lengths.tolist()):
        inputs = {name: values[row : row + 1, :length] for name, values in batch.inputs.items()}
        alone = Batch(inputs=inputs, labels=batch.labels[row : row + 1, :length])
        losses.append(_mean_loss(task, _output(model, alone), alone.labels))
    return np.array(losses)


def _with_targets_of(batch: Batch, row: int) -> Batch:
    labels = np.full_like(batch.labels, IGNORED)
    labels[row] = batch.labels[row]
    return Batch(inputs=batch.inputs, labels=labels)


def _output(model: nn.Module, batch: Batch) -> Any:
    with torch.no_grad():
        return model(**{name: torch.from_numpy(values) for name, values in batch.inputs.items()})


def _mean_loss(task: Task, output: Any, labels: NDArray[np.int64]) -> float:
    return float(task.loss_sum(output, torch.from_numpy(labels), 0.0)) / int((labels != IGNORED).sum())


def _model(
    settings: Settings, prepared: PrepareResult, *, task: Task, shape: ModelShape | None, pad_id: int, scratch: Path
) -> Any:
    """Return the model itself, or a smaller one of its architecture, in fp32, as it reads packed batches."""
    folder, seed = Path(prepared.model_path), settings.training.seed
    is_small = shape is not None and shape.parameters <= _MOST_PARAMETERS
    if not is_small:
        scratch.mkdir(parents=True, exist_ok=True)
        folder = cut_down(folder, scratch / "model", task=task, most_parameters=_MOST_PARAMETERS, seed=seed).folder
    model: Any = load_model(
        folder, task=task, labels=prepared.resolved.labels, pad_token_id=pad_id, dropout=None, seed=seed
    )
    if not is_small:
        _redraw_matrices(model, seed=seed)
    assert task.packing is not None  # `check_packing` has asked
    read_packed_batches(model, task.packing)
    return model.float().eval()


@torch.no_grad()
def _redraw_matrices(model: nn.Module, *, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=_WEIGHTS)
