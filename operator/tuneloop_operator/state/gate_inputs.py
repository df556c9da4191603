"""What was measured outside of Kubernetes: what the comparator said, and what Prometheus answered. It is not stored anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneloop_operator.prometheus.answer import Answer, VectorAnswer


@dataclass(frozen=True, kw_only=True)
class ComparatorReply:
    """What the comparator of a deployment said when it was last asked for its counts."""

    document: Mapping[str, Any] | None = None
    """The JSON document of `contract.comparison`, as it came; None: it did not answer with a document."""
    problem: str = ""
    """Why not, as a sentence without a full stop."""


@dataclass(frozen=True, kw_only=True)
class QueryAnswer:
    """What Prometheus answered to the query of a gate, or of a trigger."""

    gate: str
    """Name of the gate; of a trigger `trigger/NAME/SUBJECT`."""
    revision: str
    """Name of the revision that the query was about; empty for a query about none; of a trigger which of its numbers it is."""
    answer: Answer
    at: datetime
    """When it was asked."""


@dataclass(frozen=True, kw_only=True)
class BaselineAnswer:
    """What Prometheus answered about the baseline window of a revision."""

    revision: str
    since: str
    """Begin of the window, as in `status.monitoring.since`."""
    seconds: int
    """Length of the window that was asked for; its end is the time of the answer."""
    answer: VectorAnswer
