"""The kinds of local mode. A new kind needs a file with its `LocalKind`, and a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.local.kinds.fine_tune_job import FINE_TUNE_JOB
from tuneloop_cli.local.kinds.model_deployment import MODEL_DEPLOYMENT

if TYPE_CHECKING:
    from tuneloop_cli.kinds import CustomKind
    from tuneloop_cli.local.kinds.local_kind import LocalKind

LOCAL_KINDS: dict[CustomKind, LocalKind] = {
    "FineTuneJob": FINE_TUNE_JOB,
    "ModelDeployment": MODEL_DEPLOYMENT,
}
"""In the order in which manifests are submitted: a deployment may use a job that is submitted with it."""
