"""What a job would do, found before it runs: what `python -m tuneloop_trainer plan` writes to its output, and `tuneloop plan` shows."""

from __future__ import annotations

from pydantic import Field

from tuneloop_api.contract.results import MemoryPlan, Resolved
from tuneloop_api.wire.model import MessageModel


class Problem(MessageModel):
    """Why the job cannot run as it is."""

    message: str
    hint: str | None = None


class PlannedModel(MessageModel):
    """The model as the method trains it."""

    type: str
    """`model_type` of its config."""
    revision: str
    parameters: int | None = None
    """None: the model's code could not be traced."""
    trainable: int | None = None
    head: str | None = None
    """Where the head comes from, as a sentence."""


class PlannedMemory(MessageModel):
    """Memory of a training pod, in bytes."""

    rank: MemoryPlan
    pod: int
    """Of all its ranks; they share the pages of their libraries."""
    limit: int | None = None
    """`resources.memory`; None: there is no limit, or the ranks compute on GPUs, whose memory is not known yet."""
    nearest: list[str] = Field(default=[])
    """Settings that would fit, where these do not; the smallest change first."""


class PlannedSpace(MessageModel):
    """Room on the claim, in bytes."""

    needs: dict[str, int]
    """What is still to be written, by kind."""
    free: int


class JobPlan(MessageModel):
    """All that can be known of a job without tokenizing its data."""

    version: int = 1
    model: PlannedModel
    resolved: Resolved
    sampled: int | None = None
    """Rows that were tokenized to estimate `resolved.maxTokens`; None: the spec gives it."""
    rows: dict[str, int]
    """Rows by split."""
    notes: list[str] = Field(default=[])
    """What a person should know of the rows, one sentence each: what was left out, labels that look alike."""
    nodes: int
    ranks: int
    """Of the whole gang."""
    memory: PlannedMemory | None = None
    """None: the model's code could not be traced."""
    space: PlannedSpace | None = None
    rehearsal: str | None = None
    """What the dress rehearsal did, or why there was none, in a few words; None: it was switched off, or has failed (see the problems)."""
    problems: list[Problem] = Field(default=[])
