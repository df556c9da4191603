"""FeedbackRow: a label that came back, as a server writes it and `prepare` reads it: one JSON object a line, in files `DAY-RANDOM.jsonl`.

A file has the rows of one day (UTC, by the time of the feedback) and of one process, and is only appended to. A last line without its end was cut
by a crash, and is no row. Files of all processes and revisions of a deployment lie in one folder. In a bucket each file is an object, which never changes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import MessageModel

FOLDER = "feedback"
"""Above the folders of deployments on a claim."""
SHARD_SUFFIX = ".jsonl"
MOST_SHARDS = 200_000
"""Objects of a deployment in a bucket, at most. Ten servers make fewer in 90 days: one in ten minutes each."""

FeedbackSource = Literal["client", "audit"]
"""Who chose that this prediction gets a label: a client, for any reason, or a random draw."""
FeedbackForm = Literal["text-label", "prompt-completion", "messages"]
"""What `text` and `label` of a row are, in the words of `data.format`: a text and its label; a prompt and the answer that would have been right; the messages
of a conversation, as JSON, and that answer."""


class FeedbackRow(MessageModel):
    """A prediction and the label that came for it."""

    version: Literal[1] = 1
    predicted_at: float
    """When the prediction was made, in seconds since 1970; whole ones."""
    labelled_at: float
    """When the server took the feedback, in seconds since 1970."""
    revision: str
    """That predicted."""
    predicted: str | None = None
    """The label that was predicted; None where the server that took the feedback does not know its name."""
    confidence_bin: Annotated[int, Field(ge=0, le=9)]
    """The calibrated confidence was in [bin / 10, (bin + 1) / 10); 0 for a generated answer, which has none."""
    correct: bool
    """Of a generated answer: whether its score is 0.5 or more."""
    score: float | None = None
    """Of a generated answer, from 0 to 1."""
    form: FeedbackForm = "text-label"
    label: str | None = None
    """The label that was right; None where feedback says only that the prediction was wrong."""
    text: str | None = None
    """None where the client sent none, or the text is not kept."""
    token: str
    """Hash of the prediction's token, 32 hex digits: rows of one prediction have the same."""
    source: FeedbackSource = "client"


def deployment_folder(name: str, *, sub_path: str | None) -> str:
    """Return the folder of a deployment's rows, from the root of the claim or the bucket. sub_path: the folder above it, of `feedback.storage`."""
    return "/".join([*([sub_path.strip("/")] if sub_path else []), FOLDER, name])
