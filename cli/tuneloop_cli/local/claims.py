"""PersistentVolumeClaims of local mode: folders `claims/NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import ClaimMissing
from tuneloop_cli.local.submission import claim_written, claims_read

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_operator.cluster import Manifest


def demand_claims(manifest: Manifest, *, folders: Folders, write: bool = True) -> None:
    """Make the folder of the claim that a job writes to (unless not `write`). Raises ClaimMissing for a claim that it reads from and that is not there."""
    for claim in sorted(claims_read(manifest)):
        if not folders.claim(claim).is_dir():
            named = f"{manifest['kind']} {manifest['metadata']['name']} names pvc://{claim}/…"
            raise ClaimMissing(
                f"{named}, but there is no folder {folders.claim(claim)}: make it, and put the files in it"
            )
    if write and manifest["kind"] == "FineTuneJob":
        folders.claim(claim_written(manifest)).mkdir(parents=True, exist_ok=True)
