"""Names and numbers on which several programs must agree."""

from __future__ import annotations

from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["prepare", "train", "export"]
STAGES: tuple[Stage, ...] = ("prepare", "train", "export")
"""The stages of a FineTuneJob in their order."""

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of a pod of an Indexed Job: the pod's number in its gang, from 0."""

HUB_TOKEN = "HF_TOKEN"  # noqa: S105  (a name)
"""Variable in which the libraries of Hugging Face look for the token of the hub."""
SECRET_VARIABLES = "TUNELOOP_SECRET_VARIABLES"  # noqa: S105  (a name)
"""Variable of a trainer's pod: the names of the variables that hold secrets, with commas between them. Their values are kept out of every message."""

RESERVE_SECONDS = 10
"""Part of the grace period that the supervisor of a training pod keeps for itself: ranks that still save are killed this long before the pod is."""


def token_audience(job_uid: str) -> str:
    """Return the audience of the tokens with which a job's pods post progress: a token for one job says nothing about another."""
    return f"tuneloop.dev/{job_uid}"
