"""Bins of features: where their edges lie, in which bin a value falls, and with which profiles a server can count. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from tuneloop_api.contract.monitoring_profile import MOST_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneloop_api.contract.monitoring_profile import FeatureProfile, MonitoringProfile

QUANTILES = 10
"""Bins of a number, where it has as many distinct values."""
MOST_BINS = 200
"""Bins of all features of a profile together. A server has two series for each."""
_DIGITS = 6
"""Values that are equal to so many digits behind the point count as one: a model computes 1e-7 otherwise on another machine."""


class UnusableProfile(ValueError):  # noqa: N818  (named for what it means)
    """Nothing can be counted with this profile. The text names the field, what was found and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberBins:
    """Bins of a number."""

    edges: tuple[float, ...]
    is_of_numbers = True

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.edges) + 1

    def index(self, value: float | str) -> int:
        """Return the bin of a value, which is a number: a task gives numbers for its numbers."""
        return bisect_left(self.edges, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceBins:
    """Bins of a choice."""

    positions: Mapping[float | str, int]
    """Bin of each category."""
    has_other: bool
    is_of_numbers = False

    @property
    def size(self) -> int:
        """Number of bins."""
        return len(self.positions) + self.has_other

    def index(self, value: float | str) -> int:
        """Return the bin of a value. One without a category is in the last bin: a profile without `other` names all that can be chosen."""
        return self.positions.get(value, self.size - 1)


Bins = NumberBins | ChoiceBins


def number_bins(values: Sequence[float]) -> NumberBins:
    """Return bins that hold about as many of these values each: 10 of them, or one for each distinct value where there are fewer.

    An edge lies in the middle between two neighbouring values, so that rounding moves no value over an edge. One value alone, repeated, gets
    three bins: below, equal and above, since what differs from it is what is looked for. values: at least one, finite.
    """
    counts = sorted(Counter(round(value, _DIGITS) for value in values).items())
    if len(counts) == 1:
        ((only, _),) = counts
        beside = 10.0**-_DIGITS * max(1.0, abs(only))
        return NumberBins(edges=(only - beside, only + beside))
    cuts = [(low, high) for (low, _), (high, _) in pairwise(counts)]
    below = list(accumulate(count for _, count in counts))[:-1]
    chosen = {_nearest(below, len(values) * part / QUANTILES) for part in range(1, QUANTILES)}
    return NumberBins(edges=tuple(_middle(*cuts[place]) for place in sorted(chosen)))


def choice_bins(choices: Sequence[str]) -> ChoiceBins:
    """Return a bin for each of the first 50 choices, and one for all others if there are more."""
    return ChoiceBins(
        positions={name: place for place, name in enumerate(choices[:MOST_LABELS])},
        has_other=len(choices) > MOST_LABELS,
    )


def usable_bins(profile: MonitoringProfile) -> dict[str, Bins]:
    """Return the bins of each feature, by its name. Raises UnusableProfile."""
    bins: dict[str, Bins] = {}
    for number, feature in enumerate(profile.features):
        place = f"features[{number}]"
        if feature.name in bins:
            raise UnusableProfile(f"{place}.name: {feature.name!r:.80} is there twice, each feature is there once")
        bins[feature.name] = _bins_of(feature, place)
    total = sum(found.size for found in bins.values())
    if total > MOST_BINS:
        raise UnusableProfile(f"features: they have {total} bins, at most {MOST_BINS} are allowed")
    return bins


def _bins_of(feature: FeatureProfile, place: str) -> Bins:
    edges, categories = feature.edges, feature.categories
    found: Bins
    if edges is not None and categories is None:
        if not edges or any(low >= high for low, high in pairwise(edges)):
            raise UnusableProfile(f"{place}.edges: {edges[:5]}… are not ascending numbers, example: [0.5, 0.9]")
        found = NumberBins(edges=tuple(edges))
    elif categories is not None and edges is None:
        if not categories or len(set(categories)) < len(categories):
            raise UnusableProfile(f"{place}.categories: expected at least one name, and none twice")
        found = ChoiceBins(positions={name: at for at, name in enumerate(categories)}, has_other=feature.has_other)
    else:
        raise UnusableProfile(f"{place}: expected either edges or categories")
    if len(feature.counts) != found.size or min(feature.counts) < 0:
        raise UnusableProfile(
            f"{place}.counts: {len(feature.counts)} numbers for {found.size} bins, expected one for each, at least 0"
        )
    return found


def _nearest(ascending: Sequence[int], wanted: float) -> int:
    """Return the place of the number nearest to the wanted one, of two the first."""
    place = bisect_left(ascending, wanted)
    candidates = range(max(place - 1, 0), min(place + 1, len(ascending)))
    return min(candidates, key=lambda at: abs(ascending[at] - wanted))


def _middle(low: float, high: float) -> float:
    """Return an edge with `low` below it, or on it, and `high` above it."""
    middle = low / 2 + high / 2
    return middle if low <= middle < high else low
