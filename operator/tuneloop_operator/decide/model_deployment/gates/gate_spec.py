"""A gate as the spec asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tuneloop_operator.decide.model_deployment.gates.limits import Limits


class Metric(StrEnum):
    """What a gate measures of the comparator's counts, in the words of the spec."""

    ERRORS = "Errors"
    """Requests without an answer, of both revisions on the same requests. The margin is a share of the requests."""
    LATENCY = "Latency"
    """Median of canary's time / stable's time on the same requests, minus 1."""
    AGREEMENT = "Agreement"
    """Share of the requests on which the canary chose another class, or generated another text; the margin is the bound of that share."""
    GOLDEN_ACCURACY = "GoldenAccuracy"
    """Wrong answers on the golden set. The margin is a share of its rows."""
    CALIBRATION = "Calibration"
    """Confidence against correctness on the golden set."""
    GENERATION_QUALITY = "GenerationQuality"
    """How alike generated answers and the references of the golden set are. The margin is a share of that similarity."""


ON_GOLDEN_ROWS = frozenset({Metric.GOLDEN_ACCURACY, Metric.CALIBRATION, Metric.GENERATION_QUALITY})
"""Their rows are fixed, so they have one look in a roll-out, with all of alpha."""


@dataclass(frozen=True, kw_only=True)
class GateSpec:
    """A gate with its margin and its limits."""

    name: str
    metric: Metric
    margin: float
    """A share: 0.01 is one point of a proportion, or 1 % more time."""
    similarity: float = 1.0
    """Of Agreement: from which similarity on two generated texts agree; 1: they must be the same text."""
    alpha: float = 0.05
    """Most probability of either error over all looks of the roll-out."""
    limits: Limits = field(default_factory=Limits)
    dry_run: bool = False
    """On trial: what it finds is shown, and nothing follows."""

    @property
    def is_on_golden_rows(self) -> bool:
        """Whether its rows are those of the golden set."""
        return self.metric in ON_GOLDEN_ROWS
