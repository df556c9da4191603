"""Chooses the model of a rehearsal: the real one where it is small, else a smaller one of its architecture; and none that memory or disk cannot hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.cgroup import free_memory
from tuneloop_api.wire.model import changed
from tuneloop_trainer.failures import first_line
from tuneloop_trainer.models.trace import build_without_weights, shape_of
from tuneloop_trainer.preflight.feasible import gib
from tuneloop_trainer.preflight.memory_plan import FP32_BYTES
from tuneloop_trainer.preflight.space import free_bytes
from tuneloop_trainer.rehearsal.cut_down import cut_down
from tuneloop_trainer.rehearsal.not_rehearsed import NotRehearsed
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.rehearsal.rows import PickedRows

LOG = logging.getLogger(__name__)
_COPIES = 7
"""Memory of a rehearsal, in copies of the model in fp32: weights, their fp32 master weights where they are bf16, gradients twice, two moments of Adam, and a
copy to write or to compare."""
_FILES = 4
"""Files of a rehearsal, in copies of the model: the model itself where it is a smaller one, the trained weights, an adapter with the head, the merged model."""
_PART_OF_MEMORY = 0.5
"""Of the memory that is free, at most: the estimate is rough, and a process that is killed for its memory fails the job."""


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """The model of a rehearsal."""

    folder: Path
    settings: Settings
    """Of the job; for a smaller model without `method.freeze`, which may name layers that it does not have."""
    description: str
    """For example `this model`."""
    proven: bool = True
    """Whether the model's code is known to run at these sizes. A smaller model of code that does not run on shapes alone, such as that of T5, is not."""


def choose_model(
    settings: Settings, prepared: PrepareResult, *, rows: PickedRows, shape: ModelShape | None, folder: Path, most: int
) -> ChosenModel:
    """Return the model to rehearse with. shape: sizes of the real model; None: they are not known. most: parameters of a model that is
    rehearsed as it is.

    Raises NotRehearsed if there is no smaller model, or too little memory or room.
    """
    real, most = Path(prepared.model_path), min(most, _affordable_parameters(folder))
    parameters = shape.parameters if shape else _parameters(real, settings, prepared)
    if parameters <= most:
        chosen = ChosenModel(folder=real, settings=settings, description="this model")
    else:
        task, seed = task_of(settings), settings.training.seed
        small = cut_down(real, folder / "model", task=task, most_parameters=most, seed=seed)
        was_traced = shape is not None
        settings = changed(settings, method=changed(settings.method, freeze=None))
        shape = _shape_of_smaller(small.folder, settings, prepared, longest=int(rows.split.lengths[rows.chosen].max()))
        if was_traced and shape is None:
            raise NotRehearsed("a smaller model of this architecture does not run")
        chosen = ChosenModel(
            folder=small.folder, settings=settings, description=small.description, proven=shape is not None
        )
    if shape is not None:
        _require_memory(shape, rows=rows)
    return chosen


def _parameters(folder: Path, settings: Settings, prepared: PrepareResult) -> int:
    model = build_without_weights(folder, settings, labels=prepared.resolved.labels)
    return sum(parameter.numel() for parameter in model.parameters())


def _shape_of_smaller(folder: Path, settings: Settings, prepared: PrepareResult, *, longest: int) -> ModelShape | None:
    """Return the sizes of a smaller model; None if its code does not run on shapes alone.

    If it runs, the architecture can be made smaller like this.
    """
    try:
        model = build_without_weights(folder, settings, labels=prepared.resolved.labels)
        return shape_of(model, settings, longest=longest, precision=prepared.resolved.precision)
    except Exception as error:  # noqa: BLE001  (the model's own code, on sizes that nobody has made it for)
        LOG.info("a smaller model of this architecture does not run on shapes alone: %s", first_line(error))
        return None


def _affordable_parameters(folder: Path) -> int:
    """Return how many parameters a model may have that memory and disk can hold in as many copies as a rehearsal makes."""
    copies = min(_PART_OF_MEMORY * free_memory() / _COPIES, free_bytes(folder) / _FILES)
    return int(copies / FP32_BYTES)


def _require_memory(shape: ModelShape, *, rows: PickedRows) -> None:
    """Raise NotRehearsed if there is too little memory for the activations of the picked rows."""
    lengths = [rows.split.lengths[chosen] for chosen in rows.batches]
    activations = max(shape.kept.bytes_for(rows=len(batch), tokens=int(batch.max())) for batch in lengths)
    needed, free = _COPIES * FP32_BYTES * shape.parameters + activations, free_memory()
    if needed > _PART_OF_MEMORY * free:
        raise NotRehearsed(f"it would take about {gib(needed)} of memory, and {gib(free)} are free")
