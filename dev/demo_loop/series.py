"""Series of Prometheus, as its `query_range` answers and as the page stores them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Points = tuple[tuple[float, float], ...]
"""Seconds since 1970, and the value."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series over time."""

    labels: Mapping[str, str]
    points: Points


def from_reply(reply: Mapping[str, Any]) -> list[Series]:
    """Return the series of a reply of `/api/v1/query_range`; values that are no number (NaN) are left out. Raises ValueError where it is none."""
    if reply.get("status") != "success" or reply["data"]["resultType"] != "matrix":
        raise ValueError(f"query_range: answered {json.dumps(reply)[:200]}; a matrix is expected")
    return [
        Series(
            labels=found["metric"],
            points=tuple(
                (float(at), float(value)) for at, value in found["values"] if value not in {"NaN", "+Inf", "-Inf"}
            ),
        )
        for found in reply["data"]["result"]
    ]


def stored(path: Path) -> dict[str, list[Series]]:
    """Return the series by the name of their query, from a file with a reply for each name."""
    return {name: from_reply(reply) for name, reply in json.loads(path.read_text(encoding="utf-8")).items()}
