"""What the status says of a failure: of a job, and of a revision that cannot be served."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import LongText, ShortText
from tuneloop_api.wire.model import MessageModel

MOST_LINES = 20


class FailureReport(MessageModel):
    """What failed, where, and what a person can do."""

    exit_code: int | None = None
    """Exit code of the container that failed first."""
    pod: ShortText | None = None
    """Name of the pod that failed first."""
    node: ShortText | None = None
    """Name of the node on which that pod ran."""
    message: LongText | None = None
    """What happened, in words; field, value and place where they are known."""
    hint: LongText | None = None
    """What a person can do so that it does not happen again."""
    last_lines: Annotated[list[ShortText], Field(max_length=MOST_LINES)] | None = None
    """What the process that failed first wrote last, oldest line first, without secrets."""


class ServingFailure(FailureReport):
    """Why the servers of a revision do not come up."""

    revision: ShortText
    """Hash of artifact and settings of the revision, as in `status.stable.revision`."""
    failure_class: Annotated[ShortText, Field(alias="class")]
    """What kind of failure it is, as one word: ArtifactMissing, ArtifactNotReadable, DigestMismatch, ModelLoadFailed, OutOfMemory, ImagePull, ServerEnded, or a word of the cluster such as Unschedulable."""
