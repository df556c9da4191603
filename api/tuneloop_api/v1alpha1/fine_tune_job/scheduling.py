"""Where the training pods run: `spec.scheduling`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuneloop_api.v1alpha1.common import Duration, Name, positive_duration
from tuneloop_api.v1alpha1.pods import Placement
from tuneloop_api.wire.rules import applies_only
from tuneloop_api.wire.text_formats import NAME


class Scheduling(Placement):
    """Where the training pods run, and what happens if there is not enough room."""

    queue_name: Annotated[str, NAME.text(most=63)] | None = None
    """Kueue's LocalQueue of this namespace that every attempt waits in. Default: none, attempts start at once. For example `team-a`."""
    priority_class_name: Name | None = None
    """PriorityClass of the training pods. May be changed while the job runs, for the next attempt. Default: the cluster's. For example `batch-low`."""
    min_nodes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Least number of nodes to train on, 1 to 1024 and at most `resources.nodes`, if all of them cannot be had: the global batch stays the same, and each restart tries
    all nodes again. Default: `resources.nodes`. For example `1`."""
    shrink_after: Duration | None = None
    """Time that pods may be without a node before the next attempt is made smaller. Whole numbers with the units d, h, m, s, longer than 0s. Applies only to jobs with
    `minNodes`. Default: 15m. For example `5m`."""
    avoid_bad_nodes: bool | None = None
    """Whether later attempts stay away from nodes on which this job failed before, as long as there are others. Default: true."""
    host_network: bool | None = None
    """Whether the training pods use the network of their nodes, one pod a node, as InfiniBand may need. Only where `children.allow.hostNetwork` of the chart allows it.
    No NetworkPolicy holds there. Default: false."""

    rules = (
        applies_only(
            "shrink_after",
            to="jobs with minNodes",
            cel="has(self.minNodes)",
            holds=lambda scheduling: scheduling.min_nodes is not None,
        ),
        positive_duration("shrink_after"),
    )
