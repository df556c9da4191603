"""The views of every kind. A new kind needs a file with its `KindView`, and a row here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.fine_tune_job import FINE_TUNE_JOB
from tuneloop_cli.views.model_deployment import MODEL_DEPLOYMENT
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from tuneloop_cli.kinds import CustomKind
    from tuneloop_cli.views.kind_view import KindView

VIEWS: dict[CustomKind, KindView] = {
    "FineTuneJob": FINE_TUNE_JOB,
    "ModelDeployment": MODEL_DEPLOYMENT,
}


def view_of(manifest: Manifest) -> KindView:
    """Return the views of an object's kind."""
    kind: CustomKind = manifest["kind"]
    return VIEWS[kind]


def note(manifest: Manifest, *, has_session: bool) -> str:
    """Return a note for an object whose phase is that of running work although no session runs in the folder; otherwise an empty text."""
    phase = at(manifest, "status.phase")
    if has_session or phase in {None, "Succeeded", "Failed", "Suspended"}:
        return ""
    return f"(not running: {view_of(manifest).restart})"
