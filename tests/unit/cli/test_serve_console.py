"""The console of `tuneloop serve`: an address that answers, and a line for each thing that users of the deployment notice."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from stored_conditions import condition

from tuneloop_cli.commands.serve import follow
from tuneloop_cli.views.model_deployment import MODEL_DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HERE, IN_A_CLUSTER = "http://127.0.0.1:8000", "http://reviews.default.svc"
ANSWERS = f"reviews answers at {HERE}"
ASLEEP = "no servers are asked for (replicas: 0), and no request is answered"


def version(
    message: str, *, ready: bool, reason: str = "", url: str = HERE, stable: str = "r1", phase: str | None = None
) -> dict[str, Any]:
    """Return a version of a deployment that has no router. phase: that of its roll-out."""
    status: dict[str, Any] = {"phase": "Loading", "url": url, "stable": {"revision": stable}, "observedGeneration": 1}
    status["conditions"] = [condition("Ready", true=ready, reason=reason, message=message)]
    if phase:
        status["rollout"] = {"phase": phase}
    spec = {"rollout": {"strategy": "Recreate"}} if phase else {}
    metadata = {"name": "reviews", "namespace": "default", "generation": 1}
    return {"kind": "ModelDeployment", "metadata": metadata, "spec": spec, "status": status}


def console(capsys: pytest.CaptureFixture[str], *versions: dict[str, Any]) -> list[str]:
    """Return the lines of a session in which the deployment has these versions."""

    async def watch(*_: object, **__: object) -> AsyncGenerator[dict[str, Any], None]:
        for found in versions:
            yield found

    session: Any = SimpleNamespace(watch=watch)
    asyncio.run(follow(session, versions[0]))
    return capsys.readouterr().out.splitlines()


FIRST = version("r1 gets all requests", ready=True, phase="Done")
PROMOTING = version("r2 is being promoted, 100 % of the requests so far", ready=False, phase="Promoting")
BAKING = version("r2 is promoted and watched; 10 min to go", ready=True, stable="r2", phase="Baking")
STILL_BAKING = version("r2 is promoted and watched; 9 min to go", ready=True, stable="r2", phase="Baking")
DONE = version("r2 gets all requests", ready=True, stable="r2", phase="Done")
REVERTING = version("r2 is being rolled back to r1: a person", ready=False, stable="r2", phase="Reverting")
BACK = version("r1 gets all requests", ready=True, phase="RolledBack")


@pytest.mark.parametrize(
    ("versions", "lines"),
    [
        pytest.param([FIRST, FIRST], [ANSWERS], id="the address says that the servers are ready"),
        pytest.param(
            [FIRST, PROMOTING, BAKING, DONE],
            [ANSWERS, *(found["status"]["conditions"][0]["message"] for found in (PROMOTING, BAKING, DONE))],
            id="a roll-out to its end",
        ),
        pytest.param(
            [BAKING, STILL_BAKING, DONE], [ANSWERS, "r2 gets all requests"], id="time that goes by is no news"
        ),
        pytest.param(
            [DONE, REVERTING, BACK],
            [ANSWERS, "r2 is being rolled back to r1: a person", "r1 gets all requests"],
            id="a roll-back by a person",
        ),
        pytest.param(
            [
                version("0 of 1 servers of revision r1 answer", ready=False, url=IN_A_CLUSTER),
                version("1 of 1 servers of revision r1 answer", ready=True, url=HERE),
            ],
            ["0 of 1 servers of revision r1 answer", ANSWERS],
            id="without a roll-out",
        ),
    ],
)
def test_the_console_tells_what_happens_to_its_end(
    versions: list[dict[str, Any]], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert console(capsys, *versions) == lines


@pytest.mark.parametrize("url", [IN_A_CLUSTER, HERE])
def test_a_deployment_that_sleeps_answers_nowhere(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    sleeping = version(ASLEEP, ready=True, reason="ScaledToZero", url=url)
    awake = version("1 of 1 servers of revision r1 answer", ready=True, reason="AllReady")
    assert console(capsys, sleeping, sleeping, awake) == [ASLEEP, ANSWERS]


def test_servers_have_no_address_before_a_process_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    early = version("1 of 1 servers of revision r1 answer", ready=True, url=IN_A_CLUSTER)
    assert console(capsys, early) == []


@pytest.mark.parametrize(("url", "line"), [(IN_A_CLUSTER, "Loading"), (HERE, f"Loading  {HERE}")])
def test_up_shows_no_address_of_a_cluster(url: str, line: str) -> None:
    assert MODEL_DEPLOYMENT.line(version("", ready=False, url=url)) == line
