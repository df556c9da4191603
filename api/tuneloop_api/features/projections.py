"""Features of what the model makes of a text: projections of its vector (`text_vectors`) onto directions that came with the artifact. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.features.bins import UnusableProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.monitoring_profile import MonitoringProfile

PROJECTIONS = ("projection_1", "projection_2", "projection_3", "projection_4")


def directions_of(profile: MonitoringProfile) -> dict[str, Sequence[float]]:
    """Return the direction of each projection that the profile has, all of the same length. Raises UnusableProfile."""
    found: dict[str, Sequence[float]] = {}
    for number, feature in enumerate(profile.features):
        if feature.name in PROJECTIONS:
            if not feature.direction:
                raise UnusableProfile(
                    f"features[{number}]: {feature.name} has no direction, expected one number for each of the hidden state"
                )
            found[feature.name] = feature.direction
    if len({len(direction) for direction in found.values()}) > 1:
        sizes = ", ".join(f"{name} {len(direction)}" for name, direction in found.items())
        raise UnusableProfile(
            f"features: directions have different lengths ({sizes}), expected the size of the hidden state"
        )
    return found
