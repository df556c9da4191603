"""The baselines of stable revisions as metrics, with which recording rules compute PSI. Pure: stored objects in, families out.

A deployment has at most `MOST_SERIES_OF_BASELINE` series, whatever its status holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MOST_BINS, MOST_FEATURES
from tuneloop_operator.metrics.chi_squared import critical_chi_squared
from tuneloop_operator.metrics.family import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_operator.cluster import Manifest

MOST_SERIES_OF_BASELINE = MOST_FEATURES * (MOST_BINS + 2)
SMOOTHING = 0.5
"""Of a text, added to each bin (Laplace), as by the recording rules."""
_NAME = re.compile(r"[a-z0-9_]([-a-z0-9_.]{0,61}[a-z0-9_])?")


def baseline_families(deployments: Iterable[Manifest]) -> tuple[Family, ...]:
    """Return the metrics of the baselines of these ModelDeployments."""
    ratio = _gauge("bin_ratio", "Share of a bin in the baseline window, above 0.")
    samples = _gauge("samples", "Texts in the baseline window.")
    chi_squared = _gauge("chi_squared", "99 % quantile of chi-squared with one degree of freedom less than bins.")
    for deployment in deployments:
        for labels, counts in _features(deployment):
            texts = sum(counts)
            samples.add(labels, texts)
            chi_squared.add(labels, critical_chi_squared(len(counts) - 1))
            for number, count in enumerate(counts):
                share = (count + SMOOTHING) / (texts + SMOOTHING * len(counts))
                ratio.add(f'{labels},bin="{number}"', share)
    return ratio, samples, chi_squared


def _features(deployment: Manifest) -> Iterator[tuple[str, list[int]]]:
    """Yield the labels of each feature with its counts. A status that somebody else wrote may hold anything."""
    baseline: dict[str, Any] = ((deployment.get("status") or {}).get("monitoring") or {}).get("baseline") or {}
    metadata, revision = deployment["metadata"], baseline.get("revision", "")
    for feature in (baseline.get("features") or ())[:MOST_FEATURES]:
        name, counts = feature["name"], feature["counts"]
        if _NAME.fullmatch(name) and _NAME.fullmatch(revision) and 2 <= len(counts) <= MOST_BINS:
            named = f'namespace="{metadata["namespace"]}",deployment="{metadata["name"]}"'
            yield f'{named},revision="{revision}",feature="{name}"', counts


def _gauge(name: str, about: str) -> Family:
    return Family(f"tuneloop_reference_{name}", "gauge", about)
