"""What lies in the folder of local mode before a submission: the claims, `claims/NAME`, and how far earlier submissions of a job got."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.submission import DEFAULT_CLAIM, claim_written, claims_read
from tuneloop_operator.desired.common.storage import storage_of

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Manifest


def require_claims(manifest: Manifest, *, folders: Folders, write: bool = True) -> None:
    """Make the folder of the claim that a job writes to (unless not `write`). Raises ClaimMissing for a claim that it reads from and that is not there."""
    for claim in sorted(claims_read(manifest)):
        if not folders.claim(claim).is_dir():
            named = f"{manifest['kind']} {manifest['metadata']['name']} names pvc://{claim}/…"
            raise ClaimMissing(
                f"{named}, but there is no folder {folders.claim(claim)}: make it, and put the files in it"
            )
    if write and manifest["kind"] == "FineTuneJob":
        folders.claim(claim_written(manifest)).mkdir(parents=True, exist_ok=True)


_FENCE = "checkpoints/ATTEMPT"
"""Written by the trainer at the start of each attempt; attempts before it may not go on."""


def last_attempt(manifest: Manifest, *, folders: Folders) -> int:
    """Return the number of the last attempt in the folder in which a job goes on, from which its own have to count; 0: it begins at the start."""
    job = FineTuneJob.from_wire(manifest)
    storage = storage_of(job.spec, default_claim=DEFAULT_CLAIM)
    if storage is None or (job.spec.checkpoint and job.spec.checkpoint.resume == "never"):
        return 0
    claim, folder = storage.paths(job).job_uri.removeprefix("pvc://").split("/", 1)
    try:
        return int(json.loads((folders.claim(claim) / folder / _FENCE).read_bytes())["attempt"])
    except (OSError, ValueError, KeyError, TypeError):  # a damaged one tells the trainer nothing, either
        return 0
