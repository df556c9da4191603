"""Chooses which checkpoints are kept, and removes or quarantines the others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.manifest import DELETING, QUARANTINED, REPLACED, WRITING, order
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

    names: committed folders, newest first. Kept are the newest `last` of them, and the checkpoints of the first `best` of `best_steps`
    (steps with the best results, best first; steps without a checkpoint do not count). newest: the newest checkpoint that is known to be
    whole; it is always kept. damaged: damaged checkpoints; they do not count, and all of them are removed.
    """
    whole = [name for name in names if name not in damaged]
    kept = set(whole[:last])
    if newest is not None:
        kept.add(newest)
    by_step = {age[1]: name for name in reversed(whole) if (age := order(name))}
    kept.update([by_step[step] for step in best_steps if step in by_step][:best])
    return [name for name in names if name not in kept]


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove checkpoints: their names first, so that no half-deleted checkpoint is ever found; then their files. Raises OSError."""
    delete(hide(folder, names))


def hide(folder: Path, names: Sequence[str]) -> list[Path]:
    """Rename checkpoints so that no loader finds them; return the folders that are left to delete. Raises OSError."""
    hidden = [(folder / name).rename(folder / f"{name}{DELETING}") for name in names if (folder / name).exists()]
    if hidden:
        sync_folder(folder)
    return hidden


def delete(hidden: Sequence[Path]) -> None:
    """Delete hidden checkpoints. `sweep` removes at the next start what cannot be deleted now."""
    for path in hidden:
        shutil.rmtree(path, ignore_errors=True)


def quarantine(folder: Path, *, before: int, attempt: int) -> list[str]:
    """Quarantine what earlier attempts saved at step `before` or later: no attempt resumes from it. Returns all quarantined names.

    Checkpoints of this very attempt stay: an earlier start of it saved them after the trouble. Raises OSError.
    """
    names = [path.name for path in folder.iterdir()]
    for name in names:
        age = order(name)
        if age and age[0] < attempt and age[1] >= before:
            (folder / name).rename(folder / f"{name}{QUARANTINED}")
    sync_folder(folder)
    return quarantined(folder)


def quarantined(folder: Path, *, up_to: int | None = None) -> list[str]:
    """Return the names of quarantined checkpoints, only those up to a step if `up_to` is given. Raises OSError."""
    found = [
        (order(path.name.removesuffix(QUARANTINED)), path) for path in folder.iterdir() if path.suffix == QUARANTINED
    ]
    return [path.name for age, path in found if age is not None and (up_to is None or age[1] <= up_to)]


def sweep(folder: Path, *, attempt: int) -> None:
    """Remove what this and earlier attempts left half written or half removed. Raises OSError.

    A checkpoint whose step was to be saved again gets its name back if the new one did not get it.
    """
    for path in list(folder.iterdir()):
        age = order(path.stem.removesuffix(QUARANTINED))
        if not age or age[0] > attempt:
            continue
        if path.suffix == REPLACED and not path.with_suffix("").exists():
            path.rename(path.with_suffix(""))
            sync_folder(folder)
        elif path.suffix in (WRITING, DELETING, REPLACED):
            shutil.rmtree(path)
