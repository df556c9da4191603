"""What a new revision must show before it gets more requests: `spec.rollout.gates` of a ModelDeployment, and the golden set."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field

from tuneloop_api.v1alpha1.common import FilesUri
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one
from tuneloop_api.wire.text_formats import GATE_NAME

GateMetric: TypeAlias = Literal[
    "Errors", "Latency", "Agreement", "GoldenAccuracy", "Calibration", "GenerationQuality", "FeedbackAccuracy"
]
METRICS: tuple[GateMetric, ...] = get_args(GateMetric)
ON_COPIES = frozenset({"Errors", "Latency", "Agreement"})
"""Metrics of copies of live requests, which routers send."""
ON_GOLDEN_SET = frozenset({"GoldenAccuracy", "Calibration", "GenerationQuality"})
ON_FEEDBACK = frozenset({"FeedbackAccuracy"})
"""Metrics of labels that come late, which gate the baking."""
MOST_GATES = 16
_REVISION_VARIABLE = r"\{\{\s*revision\s*\}\}"
_IN_QUERY = re.compile(_REVISION_VARIABLE)


class Gate(SpecModel):
    """A test of a new revision: what is measured, and how much worse than the stable revision it may be."""

    name: Annotated[str, GATE_NAME.text(most=63)]
    """Name of the gate, as status and Events show it: a-z, 0-9 and -, beginning with a letter, ending with a letter or digit. For example `errors`."""
    metric: GateMetric | None = None
    """What is measured of both revisions on the same requests. Errors: requests without an answer. Latency: the median of the time ratio. Agreement: requests on which the new
    revision chooses another class, or generates another text. GoldenAccuracy: wrong answers on the golden set. Calibration: confidence against correctness on the golden set.
    GenerationQuality: how alike generated answers and the labels of the golden set are. FeedbackAccuracy: wrong answers by the labels of clients (`feedback`), while the promoted
    revision bakes. Not together with `query`."""
    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """PromQL whose result is one number, greater where it is worse. `{{namespace}}`, `{{deployment}}` and `{{revision}}` stand for the names inside its strings. Not together with
    `metric`. Three numbers in a row decide, each a window of the query after the one before. For example `sum(rate(tuneloop_truncated_requests_total{revision="{{revision}}"}[2m]))`."""
    margin: float
    """How much worse the new revision may be. Of a metric a share, more than 0 and less than 1: 0.01 is one point of the requests or rows, or 1 % more time; of Agreement the
    most requests that may get another class. Of a query a number in the unit of its result. For example `0.01`."""
    similarity: Annotated[float, Field(gt=0, le=1)] | None = None
    """How alike two generated texts must be to agree, by ROUGE-L: more than 0 and at most 1, in steps of 0.05; 1 is the same text, white space apart. Applies only to
    `metric: Agreement`. Default: 1. For example `0.6`."""
    compare: Literal["Stable", "Absolute"] | None = None
    """Stable: the number of the new revision minus that of the stable one is held against the margin. Absolute: the number itself. Applies only to `query`. Default: Stable."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Most probability with which the gate passes a revision that is worse than the margin, or fails one that is not, over all its looks; more than 0 and less than 0.5. Applies only
    to `metric`. Default: 0.05. For example `0.01`."""
    no_data_limit: Annotated[int, Field(ge=1, le=60)] | None = None
    """Number of times in a row, one a minute, that there may be no data before the roll-out waits for a person, 1 to 60. Too few requests are no such time. Default: 5. For
    example `30`."""
    inconclusive_limit: Annotated[int, Field(ge=1, le=10)] | None = None
    """Number of ends of a step at which the numbers may decide nothing before the roll-out waits for a person, 1 to 10; an end comes with each `minRequests`; of a query, with
    three numbers. The golden set is looked at once. Default: 3. For example `5`."""
    error_limit: Annotated[int, Field(ge=1, le=60)] | None = None
    """Number of times in a row, one a minute, that the numbers may be unreadable before the roll-out waits for a person, 1 to 60. Default: 5. For example `30`."""
    dry_run: bool | None = None
    """Whether the gate is on trial: what it finds is shown, and nothing follows from it. Default: false."""

    @property
    def is_on_copies(self) -> bool:
        """Whether it looks at copies of live requests."""
        return self.metric in ON_COPIES

    @property
    def is_on_golden_set(self) -> bool:
        """Whether it looks at the golden set."""
        return self.metric in ON_GOLDEN_SET

    @property
    def is_on_feedback(self) -> bool:
        """Whether it looks at labels that come late."""
        return self.metric in ON_FEEDBACK

    rules = (
        exactly_one("metric", "query"),
        Rule(
            field="margin",
            cel="!has(self.metric) || (self.margin > 0.0 && self.margin < 1.0)",
            holds=lambda gate: gate.metric is None or 0 < gate.margin < 1,
            message="must be a share of more than 0 and less than 1 for a metric; for example 0.01, which is one point or 1 % more time",
        ),
        Rule(
            field="query",
            cel=f"!has(self.query) || (has(self.compare) && self.compare == 'Absolute') || self.query.matches(r'{_REVISION_VARIABLE}')",
            holds=lambda gate: (
                gate.query is None or gate.compare == "Absolute" or _IN_QUERY.search(gate.query) is not None
            ),
            message="must name {{revision}} to be compared with stable, or compare: Absolute is needed; for example "
            'sum(rate(tuneloop_requests_total{revision="{{revision}}"}[10m]))',
        ),
        applies_only(
            "similarity",
            to="metric: Agreement",
            cel="has(self.metric) && self.metric == 'Agreement'",
            holds=lambda gate: gate.metric == "Agreement",
        ),
        applies_only("compare", to="query", cel="has(self.query)", holds=lambda gate: gate.query is not None),
        applies_only("alpha", to="metric", cel="has(self.metric)", holds=lambda gate: gate.metric is not None),
    )


class GoldenSet(SpecModel):
    """Requests whose right answers are known."""

    uri: FilesUri
    """File of JSON lines, one request with its right answer in each, as `{"inputs": "A fine film.", "label": "positive"}`, of a chat `{"messages": […], "label": "…"}`: `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only;
    refused in a cluster). For example `pvc://models/golden.jsonl`."""


class Evaluation(SpecModel):
    """What revisions are judged on beside the requests of clients."""

    golden_set: GoldenSet | None = None
    """Requests whose right answers are known, for gates on GoldenAccuracy, Calibration and GenerationQuality. Default: none. For example `{uri: pvc://models/golden.jsonl}`."""


class Shadow(SpecModel):
    """Copies of live requests, on which the revisions are compared. No client sees an answer to them."""

    percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """Percentage of the requests that are copied, 1 to 100. Each copy is asked of both revisions again, so their load grows by as much. Default: 10. For example `50`."""
    min_requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Number of copies that are compared before the new revision gets any request, 1 to 10000000. Applies only to `strategy: Shadow` and `BlueGreen`. Default: 1000. For example
    `5000`."""
