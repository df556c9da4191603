"""How the result is measured: `spec.evaluation`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import FilesUri
from tuneloop_api.v1alpha1.fine_tune_job.data import Source, feedback_rule
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.text_formats import DIGEST


class CompareWith(SpecModel):
    """The model that the result is to replace, and what is asked of the result."""

    uri: FilesUri
    """Folder of the champion's artifact: `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only; refused in a cluster). Its task, its labels and its tokenizer must be those
    of this job. For example `pvc://models/jobs/reviews-1a2b3c4d/artifact`."""
    digest: Annotated[str, DIGEST.text(most=71)] | None = None
    """SHA-256 of the champion's manifest, as `sha256:…`; another artifact at the address fails the job. Default: any artifact whose files are as its manifest says.
    For example `sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c`."""
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How much worse than the champion the result may be on the test split, in units of the metric, more than 0 and less than 1: the lower limit of the gain must exceed it.
    Default: 0.03. For example `0.01`."""
    slice_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How much worse than the champion the result may be on a class or a type of spans of the test split, more than 0 and less than 1: one that is proven to be worse by more
    blocks. Default: twice `margin`. For example `0.1`."""
    min_improvement: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Gain over the champion that must be proven, 0 to less than 1: the lower limit of the gain must exceed it, on the rows of `recent`, or on the test split without them.
    Default: 0. For example `0.01`."""
    recent: Annotated[list[Source], Field(min_length=1, max_length=64)] | None = None
    """Sources of recent labelled rows that no model was trained on, 1 to 64; rows whose text stands among those of training or validation are left out and counted. Of
    `feedback://DEPLOYMENT` the texts of the test side, which no job trains on. Default: the test split decides alone. For example `[{uri: feedback://reviews}]`."""

    rules = (feedback_rule("recent"),)


class Evaluation(SpecModel):
    """How the result is measured."""

    bootstrap_samples: Annotated[int, Field(ge=100, le=100000)] | None = None
    """Number of resamples behind each 95 % interval, 100 to 100000: more make the ends steadier, and take longer. Default: 2000. For example `10000`."""
    baselines: bool | None = None
    """Whether simpler means are measured on the same rows: the majority class, TF-IDF with a linear classifier, and the model before training. Default: true."""
    compare_with: CompareWith | None = None
    """The model that is served now: both models predict the same rows, and the verdict stands in `status.evaluation.comparison`. They are compared in macro F1 where that is
    `training.bestMetric`, else in the share of right answers, or the F1 of spans. Default: no model.
    For example `{uri: pvc://models/jobs/reviews-1a2b3c4d/artifact}`."""
