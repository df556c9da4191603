"""Which checkpoints are kept, and the removal of the others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import DELETING, SUSPECT, WRITING, order
from tuneloop_trainer.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


def superfluous(
    names: Sequence[str],
    *,
    last: int,
    best: int,
    best_steps: Sequence[int],
    newest: str | None,
    damaged: Collection[str],
) -> list[str]:
    """Return the checkpoints to remove.

    names: committed folders, newest first. best_steps: steps with the best results, best first; of those that are there, the first
    `best` are kept beside the newest `last`. newest: the newest that is known to be whole, always kept. damaged: count for nothing, and go.
    """
    whole = [name for name in names if name not in damaged]
    kept = set(whole[:last])
    if newest is not None:
        kept.add(newest)
    by_step = {rank[1]: name for name in reversed(whole) if (rank := order(name))}
    kept.update([by_step[step] for step in best_steps if step in by_step][:best])
    return [name for name in names if name not in kept]


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove checkpoints: first their names, so that no half of one is ever found; then their files. Raises OSError."""
    delete(hide(folder, names))


def hide(folder: Path, names: Sequence[str]) -> list[Path]:
    """Take the names of checkpoints away; return what is left to delete. Raises OSError."""
    doomed = [(folder / name).rename(folder / f"{name}{DELETING}") for name in names if (folder / name).exists()]
    if doomed:
        sync_folder(folder)
    return doomed


def delete(doomed: Sequence[Path]) -> None:
    """Delete hidden checkpoints; what cannot be deleted is swept at the next start."""
    for path in doomed:
        shutil.rmtree(path, ignore_errors=True)


def quarantine(folder: Path, *, before: int, attempt: int) -> list[str]:
    """Rename what earlier attempts saved at step `before` or later, so that nobody goes on from it; return all names set aside so far.

    What this very attempt saved, in an earlier start, came after the trouble. Raises OSError.
    """
    names = [path.name for path in folder.iterdir()]
    for name in names:
        rank = order(name)
        if rank and rank[0] < attempt and rank[1] >= before:
            (folder / name).rename(folder / f"{name}{SUSPECT}")
    sync_folder(folder)
    return quarantined(folder)


def quarantined(folder: Path, *, up_to: int | None = None) -> list[str]:
    """Return the checkpoints that were set aside, those of later steps left out. Raises OSError."""
    ranked = [(order(path.name.removesuffix(SUSPECT)), path) for path in folder.iterdir() if path.suffix == SUSPECT]
    return [path.name for rank, path in ranked if rank is not None and (up_to is None or rank[1] <= up_to)]


def sweep(folder: Path, *, attempt: int) -> None:
    """Remove what earlier runs left half written or half removed. Raises OSError."""
    for path in folder.iterdir():
        rank = order(path.name.removesuffix(WRITING).removesuffix(DELETING).removesuffix(SUSPECT))
        if rank and path.suffix in (WRITING, DELETING) and rank[0] <= attempt:
            shutil.rmtree(path)
