"""Imports a checkpoint of another job as the first checkpoint of this job, so that training resumes from it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.wire.model import changed
from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fence import Fence
from tuneloop_trainer.checkpoint.manifest import WRITING, Manifest, TrainState, order
from tuneloop_trainer.checkpoint.resume import Damaged, Found, Unreadable, check_files, committed, read_manifest
from tuneloop_trainer.checkpoint.retention import sweep
from tuneloop_trainer.durable import make_folder, replace_durably, sync_folder, sync_tree
from tuneloop_trainer.errors import ConfigError, StorageError
from tuneloop_trainer.locate import path_of_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_api.contract.run_config import RunConfig

LOG = logging.getLogger(__name__)
FIELD = "checkpoint.resumeFrom"
CHECKPOINTS = "checkpoints"
IMPORTING = "BRINGING"
"""Name of the file that lies beside the checkpoints during an import: while it is there, a checkpoint may be missing."""
BEFORE_ALL_ATTEMPTS = 0
"""Attempt of an imported checkpoint: every checkpoint that this job saves itself is newer."""


def find_origin(config: RunConfig, *, identity: str | None = None) -> Found | None:
    """Return the checkpoint that `checkpoint.resumeFrom` names, after checking its files; None where the field is not set.

    identity: `run_identity` of this job; None where the data set is not known yet. Raises ConfigError naming the field when no whole
    checkpoint is there, or when it was saved with another model, other data or settings; StorageError when it cannot be read at the moment.
    """
    uri = config.settings.checkpoint.resume_from
    if uri is None:
        return None
    candidates = _candidates(uri, claims=config.paths.claims)
    found = _newest_whole(candidates, uri=uri)
    if identity is not None and found.manifest.config_hash != identity:
        raise ConfigError(
            f"{FIELD}: {found.path.name} of {uri} was made with another model, other data or settings: "
            f"its hash of them is {found.manifest.config_hash}, this job's is {identity}",
            hint="model, task, data, method and training must be those of the job that saved it; "
            "to begin with its weights alone, give its artifact as model.uri",
        )
    return found


def import_checkpoint(config: RunConfig, *, identity: str) -> Found | None:
    """Copy the checkpoint that `checkpoint.resumeFrom` names into this job's folder, unless the job has checkpoints already.

    An import that broke off is completed. The best checkpoint of the other job is copied too if it is whole; otherwise the copy names no
    best checkpoint, and training chooses another. Returns the original of the imported checkpoint; None when there was nothing to do.
    Raises as `find_origin` does, StorageError where a training attempt has started, OSError.
    """
    folder = Path(config.paths.job_dir) / CHECKPOINTS
    importing = folder / IMPORTING
    complete = folder.is_dir() and committed(folder) and not importing.exists()
    if config.settings.checkpoint.resume_from is None or complete:
        return None
    found = find_origin(config, identity=identity)
    assert found is not None, "the field is given"
    make_folder(folder)
    fence = Fence(folder, attempt=BEFORE_ALL_ATTEMPTS)
    fence.take()
    sweep(folder, attempt=BEFORE_ALL_ATTEMPTS)
    replace_durably(importing, b"")
    best = _best_of(found)
    if best is not None and best.step != found.step:
        _import(best.path, best.manifest, folder, fence=fence)
    manifest = found.manifest if best is not None else _without_best(found.manifest)
    _import(found.path, manifest, folder, fence=fence)
    importing.unlink()
    sync_folder(folder)
    LOG.info("goes on from step %d of %s", found.step, found.path)
    return found


def _candidates(uri: str, *, claims: Mapping[str, str]) -> list[Path]:
    """Return the checkpoints that a URI may mean, newest first. It names one checkpoint, a folder `checkpoints`, or a job's folder."""
    folder = path_of_uri(uri, claims=claims, field=FIELD)
    if order(folder.name) is not None:
        return [folder]
    inside = folder / CHECKPOINTS if (folder / CHECKPOINTS).is_dir() else folder
    if not inside.is_dir():
        raise ConfigError(f"{FIELD}: {uri} does not exist", hint=_HINT)
    return [inside / name for name in committed(inside)]


_HINT = "give a job's folder, such as pvc://CLAIM/jobs/NAME-UID, its folder checkpoints, or one checkpoint in it"


def _newest_whole(candidates: Iterable[Path], *, uri: str) -> Found:
    damaged: list[tuple[str, str]] = []
    for path in candidates:
        try:
            return _checked(path)
        except Damaged as problem:
            LOG.warning("%s: %s is damaged and is left out: %s", FIELD, path.name, problem)
            damaged.append((path.name, str(problem)))
    reasons = "; ".join(f"{name}: {problem}" for name, problem in damaged) or "there is none"
    raise ConfigError(f"{FIELD}: {uri} has no whole checkpoint: {reasons}", hint=_HINT)


def _checked(path: Path) -> Found:
    """Return a whole checkpoint. Raises Damaged; StorageError when the storage failed, since another try may succeed."""
    try:
        manifest = read_manifest(path)
        check_files(path, manifest.files)
    except Unreadable as problem:
        raise StorageError(
            f"{FIELD}: {path.name}: {problem}", hint="to begin with an older one, give the folder of that checkpoint"
        ) from problem
    return Found(path, manifest)


def _best_of(found: Found) -> Found | None:
    """Return the best checkpoint up to this checkpoint; None when it is not whole, or when no step was evaluated yet."""
    step = (found.manifest.state.best or {}).get("step")
    if step is None or step == found.step:
        return found if step is not None else None
    names = [name for name in committed(found.path.parent) if (age := order(name)) and age[1] == step]
    for name in names:
        try:
            return _checked(found.path.parent / name)
        except Damaged as problem:
            LOG.warning("%s: the best checkpoint, %s, is damaged: %s", FIELD, name, problem)
    return None


def _without_best(manifest: Manifest) -> Manifest:
    state = manifest.state
    return changed(manifest, state=TrainState(data=state.data, extra=state.extra | {"bestSteps": []}))


def _import(path: Path, manifest: Manifest, folder: Path, *, fence: Fence) -> None:
    """Copy a checkpoint into a folder as a checkpoint of attempt 0, unless it is there already."""
    manifest = changed(manifest, attempt=BEFORE_ALL_ATTEMPTS)
    if (folder / manifest.folder_name).exists():
        return
    writing = folder / f"{manifest.folder_name}{WRITING}"
    writing.mkdir()
    for file in manifest.files:  # no other: nobody has checked where those come from
        shutil.copyfile(path / file.name, writing / file.name)
    sync_tree(writing)
    commit(writing, manifest, fence=fence)
