"""What a submission finds in the folder of local mode: the claims (`claims/NAME`), and the last attempt of an earlier submission."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.kubelet.pod_plan import on_this_machine
from tuneloop_cli.local.submission import DEFAULT_CLAIM, claims_read
from tuneloop_operator.desired.common.storage import claim_of, mount_path, path_of, storage_of

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Manifest


def require_claims(manifest: Manifest, *, folders: Folders) -> None:
    """Raise ClaimMissing for a claim that the manifest reads from and that has no folder."""
    for claim in sorted(claims_read(manifest)):
        if not os.path.isdir(folders.claim(claim)):  # noqa: PTH112  (a name that is too long for a folder is no error of it)
            named = f"{manifest['kind']} {manifest['metadata']['name']} names pvc://{claim}/…"
            raise ClaimMissing(
                f"{named}, but there is no folder {folders.claim(claim)}: make it, and put the files in it"
            )


def prepare_claims(manifest: Manifest, *, written: str | None, folders: Folders) -> None:
    """Check the claims that the manifest reads from, then make the folder of the claim `written`. Raises ClaimMissing."""
    require_claims(manifest, folders=folders)
    if written is not None:
        folders.claim(written).mkdir(parents=True, exist_ok=True)


def artifact_folder(uri: str, *, folders: Folders) -> Path:
    """Return the folder of `pvc://CLAIM/PATH` or `file:///PATH` on this machine. Raises ValueError for another URI."""
    return _on_this_machine(path_of(uri), claim_of(uri), folders=folders)


def on_claims(path: str, *, folders: Folders) -> Path:
    """Return a path as pods see it on this machine: what lies on a claim is in the claim's folder."""
    found = _MOUNTED.match(path)
    return _on_this_machine(path, found[1] if found else None, folders=folders)


def _on_this_machine(path: str, claim: str | None, *, folders: Folders) -> Path:
    mounts = {mount_path(claim): folders.claim(claim)} if claim else {}
    return Path(on_this_machine(path, mounts))


_MOUNTED = re.compile(rf"{re.escape(mount_path(''))}([^/]+)")
_CHECKPOINTS = "checkpoints"
_FENCE = "ATTEMPT"
"""The trainer writes this file at the start of each attempt. Earlier attempts stop when they find a newer number."""
_COMMITTED = re.compile(r"step-(\d{8,})-a\d+")


def last_attempt(manifest: Manifest, *, folders: Folders) -> int:
    """Return the number of the last attempt in a FineTuneJob's folder on the claim; 0 if there was none."""
    job = FineTuneJob.from_wire(manifest)
    folder = _checkpoints(job, folders=folders)
    if folder is None or (job.spec.checkpoint and job.spec.checkpoint.resume == "never"):
        return 0
    try:
        return int(json.loads((folder / _FENCE).read_bytes())["attempt"])
    except (OSError, ValueError, KeyError, TypeError):  # the trainer ignores a damaged file, too
        return 0


def saved_step(manifest: Manifest, *, folders: Folders) -> int | None:
    """Return the step of the newest checkpoint in a stored FineTuneJob's folder on the claim; None if there is none."""
    try:
        folder = _checkpoints(FineTuneJob.from_wire(manifest), folders=folders)
        names = [path.name for path in folder.iterdir()] if folder is not None else []
    except (OSError, ValueError):
        return None
    return max((int(found[1]) for name in names if (found := _COMMITTED.fullmatch(name))), default=None)


def _checkpoints(job: FineTuneJob, *, folders: Folders) -> Path | None:
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM)
    if storage is None:
        return None
    claim, folder = storage.paths(job).job_uri.removeprefix("pvc://").split("/", 1)
    return folders.claim(claim) / folder / _CHECKPOINTS
