"""How long a server may load a model of which the spec says no time."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_operator.desired.model_deployment.startup import default_startup_seconds

GB = 1_000_000_000


def servers(failures: int | None) -> dict[str, Any]:
    """Return a Deployment whose server's probe gives up after so many seconds; None: it has no probe."""
    probe = {} if failures is None else {"startupProbe": {"failureThreshold": failures}}
    return {"spec": {"template": {"spec": {"containers": [{"name": "server"} | probe]}}}}


@pytest.mark.parametrize(
    ("size", "seconds"), [(None, 600), (0, 600), (GB, 600), (12 * GB, 600), (12 * GB + 1, 601), (140 * GB, 7000)]
)
def test_a_large_model_gets_more_time(size: int | None, seconds: int) -> None:
    assert default_startup_seconds(size, stored=None) == seconds


@pytest.mark.parametrize(("failures", "seconds"), [(600, 600), (7000, 7000), (1, 600), (None, 600)])
@pytest.mark.parametrize("size", [None, 140 * GB])
def test_servers_that_are_there_keep_the_time_that_they_began_with(
    size: int | None, failures: int | None, seconds: int
) -> None:
    """Another time would replace them: with an upgrade of the operator, or with the job whose artifact they serve."""
    assert default_startup_seconds(size, stored=servers(failures)) == seconds
