"""ModelDeployments in local mode: they run as written but for fields that need a cluster, and use the artifacts of finished FineTuneJobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.local.kinds.local_kind import LocalKind
from tuneloop_cli.local.overlay import without_cluster_fields
from tuneloop_cli.local.submission import Submission

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def _submission(_: Manifest, old: Manifest | None) -> Submission:
    return Submission.CREATE if old is None else Submission.CONTINUE


def _jobs_read(deployment: Manifest) -> list[str]:
    spec = deployment["spec"]
    references = [place.get("fineTuneJobRef") for place in (spec["model"], *(spec.get("adapters") or ()))]
    references.append((spec.get("retraining") or {}).get("jobTemplateRef"))
    return [reference["name"] for reference in references if reference]


MODEL_DEPLOYMENT = LocalKind(
    with_base_model=lambda manifest, _: manifest,
    fit=lambda manifest, hardware, _: without_cluster_fields(manifest, hardware),
    submission=_submission,
    first_status=lambda _, __, ___: None,
    feedback_places=lambda _, __: {},
    remarks=lambda _, __, ___: [],
    claim_written=lambda _: None,
    jobs_read=_jobs_read,
    can_suspend=False,
)
