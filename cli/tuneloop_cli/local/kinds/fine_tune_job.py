"""FineTuneJobs in local mode: the uid comes from the spec, the hardware overlay applies, attempts continue those of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.local.folders import last_attempt
from tuneloop_cli.local.kinds.local_kind import LocalKind
from tuneloop_cli.local.overlay import overlay
from tuneloop_cli.local.submission import claim_written, identity, job_submission

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_cli.local.overlay import Hardware, Overlay
    from tuneloop_operator.cluster import Manifest


def _fit(manifest: Manifest, hardware: Hardware) -> Overlay:
    """Return the job with its uid and its overlay. The uid is that of the job as written, so that hardware does not change it."""
    return overlay(manifest | {"metadata": manifest["metadata"] | {"uid": identity(manifest)}}, hardware)


def _first_status(job: Manifest, folders: Folders) -> dict[str, Any] | None:
    """Continue the attempt numbers of the earlier object whose checkpoints the job resumes from."""
    last = last_attempt(job, folders=folders)
    return {"attempt": last} if last else None


FINE_TUNE_JOB = LocalKind(
    fit=_fit,
    submission=job_submission,
    first_status=_first_status,
    claim_written=claim_written,
    job_read=lambda _: None,
    can_suspend=True,
)
