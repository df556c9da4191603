"""Durations as manifests write them, such as `1h30m`."""

from __future__ import annotations

import re

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(duration: str) -> int:
    """Return the length of a duration that has the format `text_formats.DURATION`, in seconds."""
    return sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"([0-9]+)([dhms])", duration))
