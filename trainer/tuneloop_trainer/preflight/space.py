"""Checks whether the claim has room for all files of a job, before the first byte is written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.preflight.feasible import gib
from tuneloop_trainer.preflight.memory_plan import FP32_BYTES, saved_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.models.trace import ModelShape

_MAKE_ROOM = "delete what is no longer needed (datasets/, jobs/ of old jobs), or give the claim more"


@dataclass(frozen=True, kw_only=True)
class Need:
    """Files of one kind that are still to be written."""

    name: str
    """The kind: `data set`, or the folder of the job that the files go to."""
    size: int
    """Bytes."""


def needs_of(shape: ModelShape | None, settings: Settings, *, job: Path, data: int) -> list[Need]:
    """Return the bytes that the job still has to write, by kind, without those that an earlier attempt has written.

    shape: sizes of the model; None where they are not known: then only the data set is counted. data: bytes of the data set; 0 if it is
    prepared already. The checkpoints that are kept are counted, and a further one, which exists while it is written.
    """
    data_set = Need(name="data set", size=data)
    if shape is None:
        return [data_set]
    checkpoint, output = settings.checkpoint, settings.output
    best = max(checkpoint.keep_best, 1 if output.checkpoint == "best" else 0)
    is_adapter = method_of(settings.method).is_adapter
    artifact = shape.trainable if is_adapter else 0
    if output.merge_adapter or not is_adapter:
        artifact += shape.parameters
    artifact += shape.parameters * (output.asks_for_onnx + output.asks_for_int8)
    one_run = (checkpoint.keep_last + best + 1) * saved_bytes(shape)
    planned = {
        # of a search the best trial keeps its checkpoints beside those of the running one
        **({"checkpoints": one_run} if settings.search is None else {"trials": 2 * one_run}),
        "weights": FP32_BYTES * shape.trainable,
        "artifact": FP32_BYTES * artifact,
    }
    still = {name: max(0, size - _size_of(job / name)) for name, size in planned.items()}
    return [data_set, *(Need(name=name, size=size) for name, size in still.items())]


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the volume of a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def require_room(needs: list[Need], *, folder: Path, free: int) -> None:
    """Raise StorageError if the needs are together more than the free bytes. folder: the job's, for the message."""
    total = sum(need.size for need in needs)
    if total <= free:
        return
    parts = ", ".join(f"{need.name} {gib(need.size)}" for need in needs if need.size)
    raise StorageError(
        f"{folder}: no space left: the job needs about {gib(total)} ({parts}), {gib(free)} are free",
        hint=f"{_MAKE_ROOM}; checkpoint.keepLast and keepBest say how many checkpoints are kept",
    )


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
