"""`status.monitoring` of a ModelDeployment: the baseline of the stable revision. It is the only place that holds one. Times are RFC 3339 in UTC, whole seconds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import ShortText
from tuneloop_api.wire.model import MessageModel

MOST_FEATURES, MOST_BINS = 16, 64
"""Of a baseline. A choice among labels has up to 51 bins, a number ten. As many counts of ten digits take 12 KiB of the status."""


class FeatureCounts(MessageModel):
    """What was counted of one feature."""

    name: ShortText
    """Name of the feature in the artifact's `monitoring.json`."""
    counts: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MOST_BINS)]
    """Number of texts in each bin."""


class Baseline(MessageModel):
    """What was counted of a revision in its baseline window."""

    revision: ShortText
    """Hash of artifact and settings, as in `status.stable.revision`."""
    began: Annotated[ShortText, Field(alias="from")]
    """When the window began: the first request that is counted came later."""
    ended: Annotated[ShortText, Field(alias="to")]
    """When the window ended, and Prometheus was asked for its counts."""
    features: Annotated[list[FeatureCounts], Field(max_length=MOST_FEATURES)]
    """Counts by feature, sorted by name."""


class MonitoringStatus(MessageModel):
    """What later requests are compared with."""

    revision: ShortText
    """The stable revision, which all of this is about."""
    since: ShortText | None = None
    """Begin of its baseline window: when its baking was over, or its servers answered. Absent: it bakes."""
    baseline: Baseline | None = None
    """What was counted in the window. Absent: not yet; the condition MonitoringReady says why."""
