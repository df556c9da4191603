"""Beginning where another job stopped: a checkpoint of it becomes this job's first, and training goes on from it as from its own."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_trainer.checkpoint.commit import commit
from tuneloop_trainer.checkpoint.fence import Fence
from tuneloop_trainer.checkpoint.manifest import MANIFEST, WRITING, Manifest, State, order
from tuneloop_trainer.checkpoint.resume import Damaged, Found, Unreadable, check_files, committed, read_manifest
from tuneloop_trainer.checkpoint.retention import sweep
from tuneloop_trainer.durable import replace_durably, sync_folder, sync_tree
from tuneloop_trainer.errors import ConfigError, StorageError
from tuneloop_trainer.locate import path_of_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_api.contract.run_config import RunConfig

LOG = logging.getLogger(__name__)
FIELD = "checkpoint.resumeFrom"
CHECKPOINTS = "checkpoints"
BRINGING = "BRINGING"
"""File beside the checkpoints while they are brought in: what is there may not be all."""
BEFORE_ALL_ATTEMPTS = 0
"""Attempt of a checkpoint that was brought in: whatever this job saves itself is newer."""


def find_origin(config: RunConfig, *, identity: str | None = None) -> Found | None:
    """Return the checkpoint that `checkpoint.resumeFrom` means, every byte of it checked; None where the field is not given.

    identity: `run_identity` of this job; None where the data set is not known yet. Raises ConfigError naming the field: nothing is there,
    nothing is whole, or it was made by a run that this one cannot go on from. Raises StorageError where it cannot be read at the moment.
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


def adopt(config: RunConfig, *, identity: str) -> Found | None:
    """Bring the checkpoint that `checkpoint.resumeFrom` means into this job's folder, unless there are checkpoints already.

    Where that broke off, it brings what is missing. Returns what it goes on from. The best checkpoint of that job comes too where it is
    whole; else what is best is found anew. Raises as `find_origin` does, StorageError where a training attempt has started, OSError.
    """
    folder = Path(config.paths.job_dir) / CHECKPOINTS
    bringing = folder / BRINGING
    complete = folder.is_dir() and committed(folder) and not bringing.exists()
    if config.settings.checkpoint.resume_from is None or complete:
        return None
    found = find_origin(config, identity=identity)
    assert found is not None, "the field is given"
    folder.mkdir(parents=True, exist_ok=True)
    fence = Fence(folder, attempt=BEFORE_ALL_ATTEMPTS)
    fence.take()
    sweep(folder, attempt=BEFORE_ALL_ATTEMPTS)
    replace_durably(bringing, b"")
    best = _best_of(found)
    if best is not None and best.step != found.step:
        _bring(best.path, best.manifest, folder, fence=fence)
    manifest = found.manifest if best is not None else _without_best(found.manifest)
    _bring(found.path, manifest, folder, fence=fence)
    bringing.unlink()
    sync_folder(folder)
    LOG.info("goes on from step %d of %s", found.step, found.path)
    return found


def _candidates(uri: str, *, claims: Mapping[str, str]) -> list[Path]:
    """Return the checkpoints of an address, newest first: one itself, or those in a folder `checkpoints` or in a job's folder."""
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
    what = "; ".join(f"{name}: {problem}" for name, problem in damaged) or "there is none"
    raise ConfigError(f"{FIELD}: {uri} has no whole checkpoint: {what}", hint=_HINT)


def _checked(path: Path) -> Found:
    """Return a checkpoint. Raises Damaged; StorageError where it may be whole: nothing is lost yet, and another try may succeed."""
    try:
        manifest = read_manifest(path)
        check_files(path, manifest.files)
    except Unreadable as problem:
        raise StorageError(
            f"{FIELD}: {path.name}: {problem}", hint="to begin with an older one, give the folder of that checkpoint"
        ) from problem
    return Found(path, manifest)


def _best_of(found: Found) -> Found | None:
    """Return the best checkpoint up to this one; None where none is whole, or none was measured yet."""
    step = (found.manifest.state.best or {}).get("step")
    if step is None or step == found.step:
        return found if step is not None else None
    names = [name for name in committed(found.path.parent) if (rank := order(name)) and rank[1] == step]
    for name in names:
        try:
            return _checked(found.path.parent / name)
        except Damaged as problem:
            LOG.warning("%s: the best checkpoint, %s, is damaged: %s", FIELD, name, problem)
    return None


def _without_best(manifest: Manifest) -> Manifest:
    state = manifest.state
    forgotten = State(data=state.data, best=None, early_stop=None, extra=state.extra | {"bestSteps": []})
    return manifest.model_copy(update={"state": forgotten})


def _bring(path: Path, manifest: Manifest, folder: Path, *, fence: Fence) -> None:
    """Copy a checkpoint into a folder, as one of no attempt, unless it is there."""
    manifest = manifest.model_copy(update={"attempt": BEFORE_ALL_ATTEMPTS})
    if (folder / manifest.folder_name).exists():
        return
    writing = folder / f"{manifest.folder_name}{WRITING}"
    shutil.copytree(path, writing, ignore=shutil.ignore_patterns(MANIFEST))
    sync_tree(writing)
    commit(writing, manifest, fence=fence)
