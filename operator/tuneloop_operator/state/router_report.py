"""What a router of a ModelDeployment reports of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RouterReport:
    """What a router says with each poll."""

    router: str
    """Name of its pod; in local mode of its process."""
    in_force: int
    """Generation of the split that it follows; 0: it follows none yet."""
    refused: int | None = None
    """Generation that it did not take; 0: of that split no generation could be read."""
    reason: str = ""
    """Why not."""
    requests: tuple[tuple[str, int], ...] = ()
    """Revision and the number of requests that it has answered through this router since the split was in force here. Empty: none yet, or not reported."""
