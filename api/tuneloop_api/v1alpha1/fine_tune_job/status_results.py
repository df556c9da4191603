"""The part of a FineTuneJob's status that says what came out: of the data, of the measurement, and what was published."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from tuneloop_api.v1alpha1.common import LongText, ShortText
from tuneloop_api.wire.model import MessageModel, without_nulls

MOST_METRICS, MOST_BASELINES, MOST_FORMATS, MOST_SETS = 64, 16, 8, 4
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


class ComparedSetStatus(MessageModel):
    """Both models on one set of rows."""

    name: ShortText
    """Which rows: golden, the test split; or recent, the rows of `evaluation.compareWith.recent`."""
    rows: int
    """Number of rows that both models predicted."""
    champion: float
    """The metric of the champion on these rows."""
    challenger: float
    """The metric of this job's model on these rows."""
    low: float | None = None
    """Lower limit of challenger minus champion, at 5 %."""
    high: float | None = None
    """Upper limit of challenger minus champion, at 5 %."""
    discordant: int
    """Number of rows on which exactly one of the two is right, or which they answer unlike; fewer than 5 are Inconclusive."""
    verdict: ShortText
    """NotInferior, Better, NotBetter, Worse or Inconclusive."""


class ComparisonStatus(MessageModel):
    """This job's model (challenger) beside the model that `evaluation.compareWith` names (champion), both run on the same rows."""

    verdict: ShortText
    """Better, NotBetter, Worse or Inconclusive; only Better is a reason to put the challenger in the champion's place."""
    message: LongText
    """Why, in one sentence with the numbers; `evaluation.json` in the artifact has all of them."""
    metric: ShortText
    """Name of the metric, for example `accuracy`."""
    champion_digest: ShortText
    """SHA-256 of the manifest of the champion's artifact, as `sha256:…`."""
    seconds: float | None = None
    """Time that both models took, in seconds."""
    sets: Annotated[list[ComparedSetStatus], Field(max_length=MOST_SETS)] | None = None
    """What was found on each set of rows."""


class EvaluationStatus(MessageModel):
    """What the exported model achieved on the test split."""

    metrics: Annotated[list[MetricValue], Field(max_length=MOST_METRICS)] | None = None
    """Each metric of the exported model with its 95 % interval."""
    baselines: Annotated[list[BaselineValue], Field(max_length=MOST_BASELINES)] | None = None
    """What simpler means achieve on the same rows; the model should do better."""
    comparison: ComparisonStatus | None = None
    """The exported model beside the model that `evaluation.compareWith` names."""


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
