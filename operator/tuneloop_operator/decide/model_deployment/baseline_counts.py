"""Counts by feature and bin out of an answer of Prometheus, or why it has none that a baseline can be. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MOST_BINS, MOST_FEATURES, FeatureCounts

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import Vector

LEAST_SAMPLES = 200
"""Texts of each feature. With fewer the noise of the baseline alone makes a PSI of 0.1 in one comparison of a hundred (10 bins)."""
_NAME = re.compile(r"[a-z0-9_]([-a-z0-9_.]{0,61}[a-z0-9_])?")
_BIN = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, kw_only=True)
class Unfit:
    """The counts are no baseline."""

    reason: str
    """TooFewSamples or UnusableCounts: the reason of the condition MonitoringReady."""
    message: str


def features_in(vector: Vector) -> tuple[FeatureCounts, ...] | Unfit:
    """Return the counts of each feature, sorted by name. `increase` extends what it has seen, so its numbers are rounded."""
    by_feature: dict[str, dict[int, float]] = {}
    for series in vector.series:
        feature, bin_ = series.labels.get("feature", ""), series.labels.get("bin", "")
        if not _NAME.fullmatch(feature) or not _BIN.fullmatch(bin_):
            return _unusable(f"a series has feature {ascii(feature)[:80]} and bin {ascii(bin_)[:80]}")
        by_feature.setdefault(feature, {})[int(bin_)] = series.value
    if len(by_feature) > MOST_FEATURES:
        return _unusable(f"there are {len(by_feature)} features; a baseline has {MOST_FEATURES} at most")
    for feature, bins in by_feature.items():
        if problem := _problem_of(bins):
            return _unusable(f"feature {feature} {problem}")
    scarce = min(by_feature, key=lambda feature: sum(by_feature[feature].values()))
    texts = round(sum(by_feature[scarce].values()))
    if texts < LEAST_SAMPLES:
        return Unfit(
            reason="TooFewSamples", message=f"{LEAST_SAMPLES} texts are needed, and feature {scarce} has {texts}"
        )
    return tuple(
        FeatureCounts(name=feature, counts=[round(bins[number]) for number in range(len(bins))])
        for feature, bins in sorted(by_feature.items())
    )


def _problem_of(bins: dict[int, float]) -> str:
    if not 2 <= len(bins) <= MOST_BINS:
        return f"has {len(bins)} bins; allowed are 2 to {MOST_BINS}"
    if max(bins) != len(bins) - 1:
        missing = next(number for number in range(len(bins)) if number not in bins)
        return f"lacks bin {missing}: servers count it from the start"
    if min(bins.values()) < 0:
        return "has a count below 0"
    return ""


def _unusable(message: str) -> Unfit:
    return Unfit(reason="UnusableCounts", message=message)
