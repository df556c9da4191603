"""ComparisonCounts: what a comparator has counted since it started, as JSON at `GET /v1/counts` of its control port.

Prometheus shows the same numbers; local mode and gates without Prometheus read them here. A count begins at zero when the process starts
(`startedAt` tells a restart) and only grows; the sums of gaps, which have a sign, are the exception. A process compares one pair of revisions.

What gates need of it (`tuneloop_operator.decide.model_deployment.gates`):
- `latencyRatios` are the counts of `latency.RatioHistogram`, in the bins of `RATIO_EDGES`.
- `LabelledCounts` has the fields of `paired.PairedCounts` for wrong answers, and `PairedSums` those of `paired_sums.PairedSums`.
- Errors on the same requests are `paired.PairedCounts` as well: both_failed, canary_failed, stable_failed of `PairCounts.rows`.
- Disagreements are `disagree` of `disagree + agree` requests; of generated texts also those in the lower bins of `similarity`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneloop_api.wire.model import MessageModel

COUNTS_PATH = "/v1/counts"
GOLDEN_PATH = "/v1/golden"

_SLOWER = (
    *(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    *(0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 19.0),
)
RATIO_EDGES = (*(1 / (1 + edge) - 1 for edge in reversed(_SLOWER)), *_SLOWER)
"""Upper edges of the bins of `latencyRatios` but the last, as canary's time / stable's time − 1. A bin holds its upper edge."""

SIMILARITY_STEPS = 20
"""Bins of `similarity` but the last, which holds a similarity of 1 alone: bin i holds i / 20 and more."""


class Failures(MessageModel):
    """Requests to which a revision gave no answer that can be compared, by reason. Each request counts once, by its last attempt."""

    away: int = 0
    """No connection could be opened, or the server still loads its model."""
    connection: int = 0
    """It ended before the answer was whole."""
    timeout: int = 0
    server_error: int = 0
    """Status 5xx, and every other status that is neither 200 nor 4xx."""
    refused: int = 0
    """Status 4xx but 429."""
    overloaded: int = 0
    """Status 429."""
    unreadable: int = 0
    """Status 200 and a body that is no answer of the task: no JSON, NaN, HTML, other fields."""
    too_large: int = 0


class Flip(MessageModel):
    """How often the canary chose another class than stable did, for one text or one place in it."""

    stable: str
    canary: str
    count: int


class GeneratedAnswers(MessageModel):
    """Texts that a revision generated where both gave an answer, by how they ended. Each text counts once."""

    stop: int = 0
    """The model ended it, or a stop string did."""
    length: int = 0
    """It reached the most tokens that were allowed."""
    empty: int = 0
    """It has nothing but white space."""
    refused: int = 0
    """It has a `refusal`, or begins with words of a refusal."""
    unknown: int = 0
    """The answer does not say how it ended."""
    tokens: int = 0
    """Of all these texts together, where the answer says it."""


class PairCounts(MessageModel):
    """Requests that both revisions were asked, each by one verdict."""

    agree: int = 0
    disagree: int = 0
    stable_failed: int = 0
    """The canary answered, and stable did not."""
    canary_failed: int = 0
    both_failed: int = 0
    refused: int = 0
    """Both answered 4xx: the request is wrong, and no fault of either."""
    overloaded: int = 0
    """At least one had no room (429). Too small for live requests and for these is no fault of a model: such a pair is no evidence."""
    away: int = 0
    """At least one was not there. Routers send its requests elsewhere, and a roll-out has its own rule for a canary without servers: such a pair is no evidence."""
    stable_failures: Failures = Failures()
    canary_failures: Failures = Failures()
    flips: list[Flip] = Field(default=[])
    """Pairs of classes with a count. A class without a name of its own is `other`; a place without an entity is `none`."""
    latency_ratios: list[int] = Field(default=[])
    """Pairs that both answered, after the warm-up, by the ratio of their times: one count a bin, `len(RATIO_EDGES) + 1` in all. Of generated texts the times of a token, where
    the lengths of both are near."""
    similarity: list[int] = Field(default=[])
    """Pairs of generated texts by how alike they are: one count a bin, `SIMILARITY_STEPS + 1` in all. Of several texts in a request the least alike counts. Empty: nothing is generated."""
    stable_answers: GeneratedAnswers = GeneratedAnswers()
    canary_answers: GeneratedAnswers = GeneratedAnswers()

    @property
    def rows(self) -> int:
        """Requests on which either revision could fail or not."""
        return self.agree + self.disagree + self.stable_failed + self.canary_failed + self.both_failed


class PairedSums(MessageModel):
    """Sums over labelled rows of a number of each revision, of its squares, and of the products."""

    rows: int = 0
    canary: float = 0.0
    stable: float = 0.0
    canary_squared: float = 0.0
    stable_squared: float = 0.0
    product: float = 0.0


class LabelledCounts(MessageModel):
    """Rows with a label, by who was wrong. A revision that does not answer is wrong."""

    rows: int = 0
    both_wrong: int = 0
    canary_only: int = 0
    stable_only: int = 0
    gaps: PairedSums = PairedSums()
    """Confidence in what a revision chose − 1 if that is correct, else 0: of the rows for which there are two answers with a confidence."""
    similarity: PairedSums = PairedSums()
    """How alike the generated text and the right answer are, from 0 to 1; 0 for a revision that does not answer. No rows: nothing is generated."""


class GoldenCounts(MessageModel):
    """The golden set and its replays."""

    rows: int = 0
    """Rows that are replayed."""
    bad_rows: int = 0
    """Rows that cannot be used. They are left out."""
    first_bad_rows: list[str] = Field(default=[])
    """What is wrong with the first of them, by line."""
    digest: str | None = None
    """`sha256:…` of the file. None while it is being read."""
    problem: str | None = None
    """Why the set cannot be replayed at all."""
    wanted: int = 0
    """How many replays there are to be since the process started."""
    completed: int = 0
    rows_done: int = 0
    """Of the replay that is under way."""
    failure: str | None = None
    """Why the last replay ended early. It is not begun again by itself."""
    pairs: PairCounts = PairCounts()
    """Of all replays, those that ended early included."""
    labelled: LabelledCounts = LabelledCounts()
    last_pairs: PairCounts | None = None
    """Of the last complete replay alone: each row once, as a gate with a single look wants it."""
    last_labelled: LabelledCounts | None = None


class CopyCounts(MessageModel):
    """Copies of live requests that Envoy sent, by what became of them on arrival."""

    taken: int = 0
    not_a_prediction: int = 0
    """Another method or path than those of predictions."""
    too_large: int = 0
    incomplete: int = 0
    """The body ended early."""
    rate: int = 0
    """More than `limits.requestsPerSecond`."""
    full: int = 0
    """No room for the request or for its bytes: both revisions together are slower than copies come."""
    stopping: int = 0


class ComparisonCounts(MessageModel):
    """Everything that a comparator has counted since it started."""

    version: Literal[1] = 1
    deployment: str
    task: str
    stable: str
    """Name of the revision."""
    canary: str
    started_at: str
    """RFC 3339. Another time means that all counts began at zero again."""
    copies: CopyCounts = CopyCounts()
    live: PairCounts = PairCounts()
    """Of copies of live requests."""
    golden: GoldenCounts | None = None
    """None: there is no golden set."""


class GoldenRequest(MessageModel):
    """What `POST /v1/golden` asks for."""

    times: int
    """How many replays there are to be since the process started, 1 to 100. To ask again for as many changes nothing, unless a replay ended early."""
