"""The part of a FineTuneJob's status that says what came out: of the data, of the measurement, and what was published."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from tuneloop_api.v1alpha1.common import LongText, ShortText
from tuneloop_api.wire.model import MessageModel, without_nulls

MOST_METRICS, MOST_BASELINES, MOST_FORMATS = 64, 16, 8
"""What the status holds of each list of an export; the artifact's manifest holds all of them."""


class DataStatus(MessageModel):
    """What `prepare` made of the sources."""

    rows: int | None = None
    """Number of usable rows, in all splits together."""
    splits: Annotated[dict[str, int], Field(max_length=8), BeforeValidator(without_nulls)] | None = None
    """Number of rows in each split: train, validation and test."""
    bad: int | None = None
    """Number of rows that could not be used and were left out."""
    digest: ShortText | None = None
    """SHA-256 of the prepared data; jobs with the same digest learn from the same rows."""
    report: LongText | None = None
    """Path of the data report, which says what was left out and why, as the pods see it."""


class MetricValue(MessageModel):
    """One measured number with its 95 % interval."""

    name: ShortText
    """Name of the metric, for example `accuracy`."""
    split: ShortText
    """Split whose rows it was measured on, for example `test`."""
    value: float
    """What the metric is on these rows."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""


class BaselineValue(MessageModel):
    """The accuracy of something simpler, on the same rows."""

    name: ShortText
    """What was measured: majority, tfidf-linear or before-training."""
    value: float
    """Accuracy on the rows of the test split, 0 to 1."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""


class EvaluationStatus(MessageModel):
    """What the exported model achieved on the test split."""

    metrics: Annotated[list[MetricValue], Field(max_length=MOST_METRICS)] | None = None
    """Each metric of the exported model with its 95 % interval."""
    baselines: Annotated[list[BaselineValue], Field(max_length=MOST_BASELINES)] | None = None
    """What simpler means achieve on the same rows; the model should do better."""


class ArtifactStatus(MessageModel):
    """The published model."""

    uri: LongText
    """Folder of the artifact, as `pvc://CLAIM/PATH`; a ModelDeployment serves it."""
    digest: ShortText
    """SHA-256 of the artifact's manifest, as `sha256:…`; the server checks it before it loads."""
    size_bytes: int | None = None
    """Size of all files of the artifact together, in bytes."""
    formats: Annotated[list[ShortText], Field(max_length=MOST_FORMATS)] | None = None
    """Formats of the weights in the artifact, for example `[safetensors]`."""
