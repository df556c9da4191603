"""Documents of a `Split`, as the operator sends them."""

from __future__ import annotations

import json
from typing import Any

from tuneloop_router.split import Split

NAMES = ("newest", "middle", "stable")


def document(*weights: int, generation: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a split of as many revisions as there are weights, newest first; the last is called `stable`."""
    names = [*NAMES[: len(weights) - 1], NAMES[-1]]
    revisions = [
        {"name": name, "host": f"{name}.team.svc", "port": 8080, "weight": weight}
        for name, weight in zip(names, weights, strict=True)
    ]
    return {"generation": generation, "deployment": "reviews", "revisions": revisions} | fields


FULL = document(
    5,
    95,
    generation=12,
    sticky={"header": "x-user", "salt": "rollout-3"},
    shadow={"host": "comparator.team.svc", "port": 8081, "percent": 10},
    limits={
        "bodyBytes": 1 << 20,
        "idleSeconds": 60,
        "perTryIdleSeconds": 30,
        "rateLimit": {"requestsPerSecond": 20, "burst": 40},
        "apiKey": True,
    },
)
"""A split in which every field is set."""


def parsed(document: dict[str, Any]) -> Split:
    return Split.parse(json.dumps(document).encode())
