"""How a new revision takes over the requests: `spec.rollout` of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, positive_duration
from tuneloop_api.wire.model import SpecModel


class Rollback(SpecModel):
    """How the revision before comes back."""

    automatic: bool | None = None
    """Whether servers of a promoted revision that fail for good bring the revision before back without a person. Default: true. For example `false`."""
    baking: Duration | None = None
    """Time after a promotion during which the new revision is watched. Whole numbers with the units d, h, m, s. Default: 1h. For example `2d`."""
    window: Duration | None = None
    """Time after a promotion during which the revision before is kept for a roll-back. Whole numbers with the units d, h, m, s. Default: 1d. For example `7d`."""
    keep_replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of its servers that keep running in that time, 0 to 1000. Default: 0, they start again when they are needed. For example `1`."""


class RolloutOptions(SpecModel):
    """How a new revision takes over the requests, what is remembered of it, and what a person must approve."""

    strategy: Literal["Recreate"] | None = None
    """Recreate: the Service goes over to the new revision at once, as soon as all its servers are ready; those of the old revision stay until then. Default: Recreate."""
    max_duration: Duration | None = None
    """Time that the servers of a new revision get to be ready; after that the revision is rejected. Whole numbers with the units d, h, m, s, longer than 0s. Default: 1d.
    For example `1h`."""
    approval: Literal["Automatic", "Manual"] | None = None
    """Whether a person must approve the promotion (annotation `tuneloop.dev/rollout`). Default: Automatic. For example `Manual`."""
    rollback: Rollback | None = None
    """How the revision before comes back. For example `{baking: 2d, keepReplicas: 1}`."""
    revision_history_limit: Annotated[int, Field(ge=1, le=50)] | None = None
    """Number of earlier revisions that are kept without servers, 1 to 50. Default: 5. For example `10`."""

    rules = (positive_duration("max_duration"),)
