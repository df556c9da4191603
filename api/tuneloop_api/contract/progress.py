"""The message that every stage posts while it works; the newest wins, posts may be lost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.contract.results import Finding, SavedStep
from tuneloop_api.contract.run_config import Stage
from tuneloop_api.contract.search import SearchSummary
from tuneloop_api.wire.model import MessageModel

MAX_BODY_BYTES = 65536


class EvaluationPoint(MessageModel):
    """The newest validation result."""

    name: str
    value: float


class ProgressMessage(MessageModel):
    """How far a stage is. Times are RFC 3339 in UTC."""

    version: Literal[1] = 1
    stage: Stage
    attempt: int = 0
    """Training attempt; messages of an older attempt are dropped."""
    sequence: int
    """Grows with every message of one process; an older message is dropped."""
    sent_at: str
    detail: str | None = None
    """What is being done, for example `tokenizing`."""
    fraction: float | None = None
    """Part of this stage that is done, 0 to 1."""
    step: int | None = None
    total_steps: int | None = None
    start_step: int | None = None
    """Step that this attempt started from."""
    epoch: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    evaluation: EvaluationPoint | None = None
    tokens_per_second: float | None = None
    eta_seconds: int | None = None
    """Time left of this stage, from the speed of this attempt."""
    latest: SavedStep | None = None
    best: SavedStep | None = None
    step_seconds: float | None = None
    """Time spent in the optimizer steps of this attempt."""
    save_seconds_p95: float | None = None
    """95th percentile of the time from the begin of a save to its commit."""
    save_error: Annotated[str | None, Field(alias="unsaved")] = None
    """Why the newest save failed; None once a save has succeeded again."""
    search: SearchSummary | None = None
    """The trials so far; `step` and `total_steps` then count those of all trials."""
    findings: list[Finding] | None = None
    """What the curves of the training tell so far."""


def progress_path(namespace: str, name: str) -> str:
    """Return the path of the progress server that a job's messages are POSTed to."""
    return f"/v1/namespaces/{namespace}/finetunejobs/{name}/progress"
