"""What a submission finds in the folder of local mode: the claims (`claims/NAME`), and the last attempt of an earlier submission."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.submission import DEFAULT_CLAIM, claims_read
from tuneloop_operator.desired.common.storage import storage_of

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Manifest


def require_claims(manifest: Manifest, *, folders: Folders) -> None:
    """Raise ClaimMissing for a claim that the manifest reads from and that has no folder."""
    for claim in sorted(claims_read(manifest)):
        if not folders.claim(claim).is_dir():
            named = f"{manifest['kind']} {manifest['metadata']['name']} names pvc://{claim}/…"
            raise ClaimMissing(
                f"{named}, but there is no folder {folders.claim(claim)}: make it, and put the files in it"
            )


def prepare_claims(manifest: Manifest, *, written: str | None, folders: Folders) -> None:
    """Check the claims that the manifest reads from, then make the folder of the claim `written`. Raises ClaimMissing."""
    require_claims(manifest, folders=folders)
    if written is not None:
        folders.claim(written).mkdir(parents=True, exist_ok=True)


_FENCE = "checkpoints/ATTEMPT"
"""The trainer writes this file at the start of each attempt. Earlier attempts stop when they find a newer number."""


def last_attempt(manifest: Manifest, *, folders: Folders) -> int:
    """Return the number of the last attempt in a FineTuneJob's folder on the claim; 0 if there was none."""
    job = FineTuneJob.from_wire(manifest)
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM)
    if storage is None or (job.spec.checkpoint and job.spec.checkpoint.resume == "never"):
        return 0
    claim, folder = storage.paths(job).job_uri.removeprefix("pvc://").split("/", 1)
    try:
        return int(json.loads((folders.claim(claim) / folder / _FENCE).read_bytes())["attempt"])
    except (OSError, ValueError, KeyError, TypeError):  # the trainer ignores a damaged file, too
        return 0
