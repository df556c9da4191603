"""Counts texts into the bins that came with the artifact. Drift is read off these counts: no text is kept, and none becomes a label.

Counting is on the path of every answer, so it is a lookup and an addition for each feature; Prometheus' families are made at a scrape.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tuneloop_api.features.text import counter_of, text_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from tuneloop_api.contract.monitoring_profile import MonitoringProfile
    from tuneloop_api.features.bins import Bins
    from tuneloop_api.features.task_features import Values
    from tuneloop_server.model import Model, Window
    from tuneloop_server.tasks.task import Answer


NONE: Mapping[str, Sequence[float]] = {}
_log = logging.getLogger(__name__)


class KnowsUnknown(Protocol):
    """A vocabulary."""

    @property
    def unknown_ids(self) -> frozenset[int]:
        """Ids of all tokens that stand for what the tokenizer does not know."""


class FeatureCounts(Collector):
    """How many texts fell into each bin of each feature since the start. It belongs to one event loop."""

    def __init__(
        self, profile: MonitoringProfile, bins: Mapping[str, Bins], directions: Mapping[str, Sequence[float]] = NONE
    ) -> None:
        """bins: by feature; features of the profile that are not among them are left out, such as those of a later release. directions: of projections."""
        self._bins = bins
        self._directions = directions
        self._counts = {name: [0] * of_feature.size for name, of_feature in bins.items()}
        self._reference = {feature.name: feature.counts for feature in profile.features if feature.name in bins}
        self._constant: Mapping[str, str] = {}

    def show(self, registry: CollectorRegistry, *, constant: Mapping[str, str]) -> None:
        """Show the counts, and the reference beside them. constant: labels of every series."""
        self._constant = constant
        registry.register(self)

    def project(self, model: Model) -> None:
        """Let a model project the texts that it answers. Projections are not shown if it cannot: a series that stays 0 would look like no texts."""
        if not self._directions:
            return
        if refusal := model.project(list(self._directions.values())):
            _log.info("%s", refusal)
            self._counts = {name: counts for name, counts in self._counts.items() if name not in self._directions}
            self._directions = NONE

    def counter(self, vocabulary: KnowsUnknown) -> Callable[[str, Sequence[Window], Answer], None]:
        """Return what counts (text, its windows, its answer). vocabulary: of the model that answers.

        A text that was read in windows counts by its first window, as if it were cut, as the rows of the reference were.
        """
        count_unknown = counter_of(vocabulary.unknown_ids)
        projected = tuple(self._directions)

        def count(text: str, windows: Sequence[Window], answer: Answer) -> None:
            first = windows[0].encoded
            self.add(
                text_values(
                    characters=len(text),
                    tokens=len(first),
                    unknown=count_unknown(first.ids),
                    truncated=first.truncated or len(windows) > 1,
                )
            )
            self.add(answer.features())
            self.add(dict(zip(projected, windows[0].projections, strict=False)))

        return count

    def add(self, values: Values) -> None:
        """Count a text. A feature without a value does not apply to it."""
        for name, value in values.items():
            if value is not None and name in self._bins:
                self._counts[name][self._bins[name].index(value)] += 1

    def describe(self) -> Iterable[Metric]:
        """Return the families without series."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """Return a series for each bin, from the first scrape on: a counter that begins at 1 has no increase."""
        counted, reference = families = self._families()
        own = (*self._constant.values(),)
        for name, counts in self._counts.items():
            rows = sum(self._reference[name])
            for place, (count, before) in enumerate(zip(counts, self._reference[name], strict=True)):
                counted.add_metric((*own, name, str(place)), count)
                reference.add_metric((*own, name, str(place)), before / rows if rows else 0.0)
        return families

    def _families(self) -> tuple[CounterMetricFamily, GaugeMetricFamily]:
        names = (*self._constant, "feature", "bin")
        return (
            CounterMetricFamily("tuneloop_feature_bin", "Texts by the bin that they fall into.", labels=names),
            GaugeMetricFamily(
                "tuneloop_training_bin_ratio",
                "Share of the held-out rows of the training that fell into the bin.",
                labels=names,
            ),
        )
