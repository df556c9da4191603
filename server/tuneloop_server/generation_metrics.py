"""Prometheus metrics of a model that generates: tokens, their times, why answers end. They are there only where the task generates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_server.monitoring import Monitoring

End: TypeAlias = Literal["stop", "length", "abort", "error"]
"""`stop`: the model's own end or a stop string. `abort`: the client left."""
FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKEN_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


class GenerationMetrics:
    """Counts beside those of `Monitoring`, with the same labels."""

    def __init__(self, monitoring: Monitoring) -> None:
        self._monitoring = monitoring
        constant = monitoring.constant
        own = tuple(constant)
        registry = monitoring.registry
        self._tokens = monitoring.generated_tokens()
        self._first = Histogram(
            "tuneloop_time_to_first_token_seconds",
            "From a request to the first token of its answer, the wait in the queue included.",
            labelnames=own,
            registry=registry,
            buckets=FIRST_TOKEN_SECONDS,
        ).labels(**constant)
        self._next = Histogram(
            "tuneloop_inter_token_latency_seconds",
            "From a token of an answer to the next one.",
            labelnames=own,
            registry=registry,
            buckets=TOKEN_SECONDS,
        ).labels(**constant)
        ends = Counter(
            "tuneloop_generation_finish",
            "Answers that ended, by the reason.",
            labelnames=(*own, "reason"),
            registry=registry,
        )
        self._ends = {reason: ends.labels(**constant, reason=reason) for reason in get_args(End)}

    def tokens(self, count: int, *, seconds: float, are_first: bool) -> None:
        """Count tokens that came together. seconds: since the token before, or since the request."""
        self._tokens.inc(count)
        (self._first if are_first else self._next).observe(seconds)

    def ended(self, reason: End) -> None:
        """Count an answer."""
        self._ends[reason].inc()

    def pass_done(self, *, waited: Sequence[float], answers: int, seconds: float) -> None:
        """Count a pass. waited: seconds in the queue of each prompt that joined. answers: that grew."""
        self._monitoring.pass_done(waited=waited, seconds=seconds, texts=answers)
