"""The views of a FineTuneJob."""

from __future__ import annotations

from tuneloop_cli.views.job_page import job_page
from tuneloop_cli.views.kind_view import KindView
from tuneloop_cli.views.progress import plain_line

FINE_TUNE_JOB = KindView(
    words=("ftj", "finetunejob", "finetunejobs"),
    columns=(
        ("PHASE", "status.phase"),
        ("PROGRESS", "status.progress.percent"),
        ("STEP", "status.progress.step"),
        ("LOSS", "status.progress.loss"),
        ("ETA", "status.progress.eta"),
        ("WORKERS", "status.workers"),
        ("PODS", "status.conditions[PodsReady].reason"),
        ("RESTARTS", "status.restarts.total"),
    ),
    wide=(
        ("FAILURE", "status.failure.class"),
        ("ARTIFACT", "status.artifact.uri"),
        ("TRIAL", "status.search.trial"),
    ),
    page=job_page,
    line=plain_line,
    restart="tuneloop run -f … goes on",
)
