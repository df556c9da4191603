"""How many servers there are as the load changes: `spec.autoscaling` of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule

MOST_SERVERS = 1000


class Autoscaling(SpecModel):
    """Limits of the number of server pods, and what the number follows."""

    min: Annotated[int, Field(ge=1, le=MOST_SERVERS)] | None = None
    """Number of server pods that there are at least, 1 to 1000. Default: 1. For example `2`."""
    max: Annotated[int, Field(ge=1, le=MOST_SERVERS)]
    """Number of server pods that there are at most, 1 to 1000. For example `10`."""
    signal: Literal["CPU", "Concurrency"] | None = None
    """What the number follows. CPU: how much of the CPU that the server pods request (`resources.cpu`) they use, for which the cluster needs a metrics server.
    Concurrency: how many requests each server is answering, for which the cluster needs an adapter that offers the pods' metric `tuneloop_inflight_requests`
    (`docs/scaling.md`). Default: CPU."""
    target: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Average of the signal over the server pods that is aimed at, 1 to 10000. With CPU a percentage of the requested CPU, with Concurrency a number of requests for each
    server. Default: 80 with CPU, 16 with Concurrency. For example `60`."""

    rules = (
        Rule(
            field="max",
            cel="self.max >= self.?min.orValue(1)",
            holds=lambda scaling: scaling.max >= scaling.least,
            message="must be at least min; for example {min: 2, max: 10}",
        ),
    )

    @property
    def least(self) -> int:
        """Number of server pods that there are at least."""
        return 1 if self.min is None else self.min
