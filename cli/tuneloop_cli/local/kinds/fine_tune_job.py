"""FineTuneJobs in local mode: the uid comes from the spec or the stored job, the hardware overlay applies, attempts continue those of the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.local.base_models import with_base_model
from tuneloop_cli.local.feedback_places import places_of
from tuneloop_cli.local.folders import last_attempt, saved_step
from tuneloop_cli.local.kinds.local_kind import LocalKind
from tuneloop_cli.local.overlay import overlay
from tuneloop_cli.local.same_run import IDENTITY, changed_fields, in_words, phase_of, run_uid, unlike
from tuneloop_cli.local.submission import claim_written, job_submission, trained_identity

if TYPE_CHECKING:
    from tuneloop_cli.local.kubelet.pod_plan import Folders
    from tuneloop_cli.local.overlay import Hardware, Overlay
    from tuneloop_operator.cluster import Manifest


def _fit(manifest: Manifest, hardware: Hardware, old: Manifest | None) -> Overlay:
    """Return the job with its uid and its overlay. The uid is that of the job as written, so that hardware does not change it."""
    metadata = manifest["metadata"]
    annotations = (metadata.get("annotations") or {}) | {IDENTITY: trained_identity(manifest)}
    identified = metadata | {"uid": run_uid(manifest, old), "annotations": annotations}
    return overlay(manifest | {"metadata": identified}, hardware)


def _first_status(job: Manifest, folders: Folders, old: Manifest | None) -> dict[str, Any] | None:
    """Continue the attempt numbers of the earlier object whose checkpoints the job resumes from. A run keeps its hash for life."""
    last = last_attempt(job, folders=folders)
    if not last:
        return None
    goes_on = old is not None and old["metadata"]["uid"] == job["metadata"]["uid"]
    config_hash = ((old.get("status") or {}).get("lineage") or {}).get("configHash") if old and goes_on else None
    return {"attempt": last} | ({"lineage": {"configHash": config_hash}} if config_hash else {})


def _remarks(job: Manifest, folders: Folders, old: Manifest | None) -> list[str]:
    """Say where the training of a changed job begins, if there is a checkpoint of the stored job, or of an earlier one with the same spec."""
    own, before = saved_step(job, folders=folders), saved_step(old, folders=folders) if old is not None else None
    if old is None or (own is None and before is None):
        return []
    if (job["spec"].get("checkpoint") or {}).get("resume") == "never":
        return ["training begins at step 1, as checkpoint.resume: never asks"]
    if own is not None:
        changes = changed_fields(job, old)
        return [f"training goes on from step {own} ({in_words(changes)})"] if changes else []
    changes = unlike(job, old) or changed_fields(job, old)
    done = "of a job that has succeeded" if phase_of(old) == "Succeeded" else "of another run"
    return [f"training begins at step 1: the checkpoint of step {before} is {done} ({in_words(changes)})"]


FINE_TUNE_JOB = LocalKind(
    with_base_model=with_base_model,
    fit=_fit,
    submission=job_submission,
    first_status=_first_status,
    feedback_places=places_of,
    remarks=_remarks,
    claim_written=claim_written,
    jobs_read=lambda _: [],
    can_suspend=True,
)
