"""Pieces of PromQL that several dashboards use.

The operator's series come from every replica of it, and those of pods from every pod: each query aggregates.
`$__rate_interval` is Grafana's: a window that holds four scrapes at least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.page import State, Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OF_DEPLOYMENT = 'namespace="$namespace",deployment="$deployment"'
"""The deployment that is chosen."""
OF_REVISIONS = f'{OF_DEPLOYMENT},revision=~"$revision"'
"""Its revisions that are chosen."""
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"


def warn_at(warning: float, critical: float) -> tuple[Threshold, ...]:
    """Return thresholds of a number that should stay small."""
    return (Threshold(0, GREEN), Threshold(warning, ORANGE), Threshold(critical, RED))


def bad_from(value: float) -> tuple[Threshold, ...]:
    """Return thresholds of a number that is bad from a value on."""
    return (Threshold(0, GREEN), Threshold(value, RED))


def good_from(value: float) -> tuple[Threshold, ...]:
    """Return thresholds of a number that is good from a value on."""
    return (Threshold(0, RED), Threshold(value, GREEN))


def per_second(metric: str, selector: str, *by: str) -> str:
    """Return the rate of a counter by labels; without labels the whole sum."""
    return f"sum {_by(by)}(rate({metric}{{{selector}}}[$__rate_interval]))"


def largest(metric: str, selector: str, *by: str) -> str:
    """Return the largest value of a gauge by labels: that of any replica."""
    return f"max {_by(by)}({metric}{{{selector}}})"


def quantile(share: float, histogram: str, selector: str, *by: str) -> str:
    """Return a quantile of a histogram by labels."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}[$__rate_interval])))"


def mean(histogram: str, selector: str, *by: str) -> str:
    """Return the mean of a histogram by labels."""
    return f"{per_second(f'{histogram}_sum', selector, *by)} / {per_second(f'{histogram}_count', selector, *by)}"


def coded(metric: str, selector: str, *, label: str, words: Iterable[str], by: tuple[str, ...]) -> str:
    """Return a number for the word in a label of a gauge that is 1: the place of the word in `words`, from 1."""
    parts = (f'{number} * {metric}{{{selector},{label}="{word}"}}' for number, word in enumerate(words, 1))
    return f"max {_by(by)}({' or '.join(parts)})"


def states(words: Iterable[str], colors: Mapping[str, str]) -> tuple[State, ...]:
    """Return what the numbers of `coded` stand for. A word without a colour is grey."""
    return tuple(State(number, word, colors.get(word, GREY)) for number, word in enumerate(words, 1))


def _by(labels: Iterable[str]) -> str:
    joined = ", ".join(labels)
    return f"by ({joined}) " if joined else ""
