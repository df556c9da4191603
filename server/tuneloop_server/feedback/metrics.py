"""The metrics of feedback. Cohorts are read at each scrape, so that the series of a day go with it.

`predicted_by` is the revision that made a prediction. It is no label `revision`: that one is of the pod that counts, and a scrape writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tuneloop_server.feedback.cohorts import DAY_SECONDS, days, written
from tuneloop_server.feedback.errors import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from tuneloop_server.feedback.cohorts import Cohorts
    from tuneloop_server.feedback.errors import RefusalReason

_LAGS = (10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 172_800.0, 345_600.0, 691_200.0)
"""10 s, 1 min, 10 min, 1 h, 6 h, 1, 2, 4 and 8 days."""


class FeedbackMetrics:
    """Counts what came in, and shows the cohorts."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        constant: Mapping[str, str],
        cohorts: Cohorts,
        clock: Callable[[], float],
    ) -> None:
        """constant: labels of every series. clock: seconds since 1970."""
        names = tuple(constant)
        lag = Histogram(
            "tuneloop_feedback_lag_seconds", "From a prediction to its label.", names, registry=registry, buckets=_LAGS
        )
        self._lag = lag.labels(**constant)
        text = "Feedback that was not counted."
        refused = Counter("tuneloop_feedback_refused", text, (*names, "reason"), registry=registry)
        self._refused = {reason: refused.labels(**constant, reason=reason) for reason in REASONS}
        repeated = Counter("tuneloop_feedback_repeated", "Feedback that was counted before.", names, registry=registry)
        self._repeated = repeated.labels(**constant)
        registry.register(_CohortCollector(constant, cohorts, clock))

    def labelled(self, *, lag: float) -> None:
        """Count a label. lag: seconds since the prediction."""
        self._lag.observe(lag)

    def refused(self, reason: RefusalReason) -> None:
        """Count feedback that was refused."""
        self._refused[reason].inc()

    def repeated(self) -> None:
        """Count feedback that had been counted."""
        self._repeated.inc()


class _CohortCollector(Collector):
    def __init__(self, constant: Mapping[str, str], cohorts: Cohorts, clock: Callable[[], float]) -> None:
        self._constant = constant
        self._cohorts = cohorts
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """Return the families with a series for each day and revision that has counts, and the end of each day."""
        now = self._clock()
        predictions, labels, correct, of_client, right_of_client, ends = families = self._families()
        own = (*self._constant.values(),)
        for day, revision, counts in self._cohorts.kept(now=now):
            values = (*own, revision, written(day))
            predictions.add_metric(values, counts.predictions)
            labels.add_metric(values, counts.labels)
            correct.add_metric(values, counts.correct)
            for family, count in zip((of_client, right_of_client), counts.clients.worst, strict=True):
                family.add_metric(values, count)
        for day in days(now=now):
            ends.add_metric((*own, written(day)), (day + 1) * DAY_SECONDS)
        return families

    def _families(
        self,
    ) -> tuple[
        CounterMetricFamily,
        CounterMetricFamily,
        CounterMetricFamily,
        GaugeMetricFamily,
        GaugeMetricFamily,
        GaugeMetricFamily,
    ]:
        names = (*self._constant, "predicted_by", "day")
        return (
            CounterMetricFamily(
                "tuneloop_feedback_predictions", "Predictions that went out with a token.", labels=names
            ),
            CounterMetricFamily("tuneloop_feedback", "Predictions for which a label came.", labels=names),
            CounterMetricFamily("tuneloop_feedback_correct", "Those of them that were right.", labels=names),
            GaugeMetricFamily(
                "tuneloop_feedback_worst_client_labels", "Labels of the client with the most wrong ones.", labels=names
            ),
            GaugeMetricFamily("tuneloop_feedback_worst_client_correct", "Those of them that were right.", labels=names),
            GaugeMetricFamily(
                "tuneloop_feedback_cohort_end_timestamp_seconds",
                "When a day ended, or ends.",
                labels=(*self._constant, "day"),
            ),
        )
