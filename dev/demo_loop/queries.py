"""PromQL of the story: the same numbers as the recording rules have for an hour and a day, over a window of minutes, so that a story fits into a quarter of an hour. Pure.

`{{namespace}}`, `{{deployment}}` and `{{revision}}` stand for the names, as in gates and in triggers with `type: promql`. Without `{{revision}}` in it a
query is about all revisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF = 'namespace="{{namespace}}",deployment="{{deployment}}"'
_OF_STABLE = f'{_OF},revision="{{{{revision}}}}"'
_BY = "by (namespace, deployment, revision, feature)"
_BY_BIN = "by (namespace, deployment, revision, feature, bin)"
_ON = "on (namespace, deployment, revision, feature)"
_ON_BIN = "on (namespace, deployment, revision, feature, bin)"
_Z = 1.959964
LEAST_LABELS = 100


def accuracy_shortfall(window: str) -> str:
    """Return a query for what the stable revision lacks to be always right, beyond doubt: 1 − the upper limit (Wilson, 95 %) of its accuracy by the labels that came within the window.

    Greater is worse, as `type: promql` needs. Empty with fewer than 100 labels. A threshold of 0.2 means: accuracy is below 0.8 beyond doubt.
    """
    right, labels = (
        _labels(metric, window) for metric in ("tuneloop_feedback_correct_total", "tuneloop_feedback_total")
    )
    square = _Z * _Z
    spread = f"{_Z} * sqrt({right} * ({labels} - {right}) / {labels} + {square / 4:.6f})"
    return f"1 - ({right} + {square / 2:.6f} + {spread}) / ({labels} + {square:.6f}) and ({labels} >= {LEAST_LABELS})"


def drift(window: str) -> str:
    """Return a query for how far the requests of the stable revision are from its baseline: the index of the feature that is farthest off, as a multiple of its critical value.

    Greater is worse. A threshold of 1 is passed by chance once in a hundred times a feature; that of a trigger should be well above it.
    """
    return f"max(({psi(window, of=_OF_STABLE)}) / {_ON} ({psi_critical(window, of=_OF_STABLE)}))"


def psi(window: str, *, of: str = _OF) -> str:
    """Return a query for the population stability index of each feature of each revision against its baseline window."""
    now, baseline = _ratio(window, of), f"max {_BY_BIN} (tuneloop_reference_bin_ratio{{{of}}})"
    return f"sum {_BY} (({now} - {_ON_BIN} {baseline}) * {_ON_BIN} ln({now} / {_ON_BIN} {baseline}))"


def psi_critical(window: str, *, of: str = _OF) -> str:
    """Return a query for what the index exceeds once in a hundred times without drift, with so many samples."""
    return (
        f"max {_BY} (tuneloop_reference_chi_squared{{{of}}}) * {_ON} "
        f"(1 / max {_BY} (tuneloop_reference_samples{{{of}}}) + {_ON} 1 / ({_samples(window, of)} > 0))"
    )


def with_names(query: str, names: Mapping[str, str]) -> str:
    """Return a query with the names of a deployment, such as `{"namespace": "default", "deployment": "reviews"}`, in the place of their variables."""
    for name, value in names.items():
        query = query.replace("{{" + name + "}}", value)
    return query


def _labels(metric: str, window: str) -> str:
    return f'sum(increase({metric}{{{_OF},predicted_by="{{{{revision}}}}"}}[{window}]))'


def _increase(window: str, of: str) -> str:
    return f"sum {_BY_BIN} (increase(tuneloop_feature_bin_total{{{of}}}[{window}]))"


def _samples(window: str, of: str) -> str:
    return f"sum {_BY} (increase(tuneloop_feature_bin_total{{{of}}}[{window}]))"


def _ratio(window: str, of: str) -> str:
    """Return the shares of the bins, with half a sample more in each."""
    bins = f"count {_BY} ({_increase(window, of)})"
    return f"(({_increase(window, of)} + 0.5) / {_ON} group_left () ({_samples(window, of)} + 0.5 * {bins}))"
