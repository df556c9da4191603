"""`evaluation.json` of an artifact: the model of the job (challenger) beside the model that it is to replace (champion), on the same rows.

Both were run when the artifact was made; no number is an old one. Gain = challenger − champion, in units of the metric. Limits of a gain are
one-sided, each at the level 5 % (`statistics.challenger.LEVEL`); those of a slice share the level.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tuneloop_api.wire.model import MessageModel, Open

EVALUATION = "evaluation.json"
"""Name of the file, beside `manifest.json`."""

VerdictName: TypeAlias = Annotated[
    Literal["Better", "NotInferior", "NotBetter", "Worse", "Inconclusive"], Open("Inconclusive")
]
"""`statistics.challenger.Verdict` as it is written."""


class Estimate(MessageModel):
    """A metric of one model on a set, with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class ComparedModel(MessageModel):
    """One of the two models."""

    job: str
    """The FineTuneJob that made it."""
    digest: str | None = None
    """Of its artifact; None: the challenger, whose manifest holds the SHA-256 of this file."""
    model_digest: str
    """`sha256:…` over the files in `model/`: equal for two artifacts with the same model."""
    temperature: float
    """Divides the logits for the calibrated confidence."""


class GainOnRows(MessageModel):
    """What was found on some rows."""

    rows: int
    champion: float
    """The metric of the champion."""
    challenger: float
    gain: float
    low: float | None = None
    high: float | None = None
    """One-sided limits of the gain; None: these rows give none."""
    champion_only: int
    """Rows (groups, where the rows have groups) on which the champion alone is right or is the better one."""
    challenger_only: int
    verdict: VerdictName
    message: str
    """The verdict with its numbers, in one sentence."""


class ComparedSlice(GainOnRows):
    """The rows of a class, or the spans of a type."""

    name: str


class ComparedSet(GainOnRows):
    """A set of rows that both models predicted."""

    name: str
    """`golden`, the test split, or `recent`."""
    digest: str
    """`sha256:…` over the rows in order: texts and labels."""
    left_out: int = 0
    """Rows that were not compared, since their text stands among the rows of training or validation, or twice in the set."""
    groups: int | None = None
    """Groups of rows by `data.split.groupBy`, which are drawn together; None: every row is one."""
    method: Literal["paired-exact", "clustered-bca"]
    """How the limits were found."""
    champion_interval: Estimate
    challenger_interval: Estimate
    champion_calibration_error: float
    """Expected calibration error, 0 to 1, with the model's own temperature."""
    challenger_calibration_error: float
    slices: list[ComparedSlice] = Field(default=[])


class ModelComparison(MessageModel):
    """`evaluation.json`."""

    version: Literal[1] = 1
    metric: str
    margin: float
    min_improvement: float
    slice_margin: float | None = None
    """Margin of each slice; None: `margin`, as before releases that know another."""
    level: float
    """Most probability that a limit of a gain is wrong."""
    champion: ComparedModel
    challenger: ComparedModel
    sets: list[ComparedSet]
    verdict: VerdictName
    message: str
    """The verdict with its numbers, in one sentence."""


class SetSummary(MessageModel):
    """What results and status show of a set."""

    name: str
    rows: int
    champion: float
    challenger: float
    low: float | None = None
    high: float | None = None
    discordant: int
    verdict: VerdictName


class ComparisonSummary(MessageModel):
    """What results and status show of a comparison."""

    verdict: VerdictName
    message: str
    metric: str
    champion_digest: str
    seconds: float
    """Time that both models took for all rows."""
    sets: list[SetSummary]
