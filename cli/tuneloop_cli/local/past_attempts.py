"""How far earlier submissions of the same FineTuneJob got, as its folder on the claim tells: their objects may be gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.local.submission import DEFAULT_CLAIM
from tuneloop_operator.desired.common.storage import storage_of

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Manifest

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
