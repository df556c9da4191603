"""Where the deployment of the story lives: waiting for an object, looking for changes, what a cluster gets beside the manifests."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from cluster_monitoring import SELECTOR, URL
from demo_loop.node import changes, feedback_secret, values
from demo_loop.place import wait_for

from tuneloop_operator.errors import ClusterUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Version = dict[str, Any] | None


def version(number: int, **status: Any) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(number)}, "status": status}


class Watched:
    """A place that has one object; its versions come one after the other, and no more."""

    def __init__(self, *versions: Version) -> None:
        self._versions = versions

    async def watch(self, _kind: str, _name: str) -> AsyncGenerator[Version, None]:
        for found in self._versions:
            yield found
        await asyncio.Event().wait()


def waited(*versions: Version, seconds: float | None = None) -> dict[str, Any]:
    place: Any = Watched(*versions)
    found = wait_for(
        place,
        "ModelDeployment",
        "reviews",
        until=lambda found: found["status"].get("phase") == "Ready",
        seconds=seconds,
    )
    return asyncio.run(found)


def test_the_first_version_that_holds_is_returned() -> None:
    ready = version(2, phase="Ready")
    assert waited(None, version(1), ready, version(3, phase="Ready")) is ready


def test_an_object_that_never_holds_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        waited(None, version(1, phase="Pending"), seconds=0.01)


def changes_of(*answers: Version | Exception, count: int) -> list[Version]:
    """Return so many changes of an object that is looked at again and again; the last answer stays."""
    left = list(answers)

    async def look() -> Version:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def taken() -> list[Version]:
        found: list[Version] = []
        async with asyncio.timeout(30), aclosing(changes(look, pause=0.0)) as versions:
            async for version in versions:
                found.append(version)
                if len(found) == count:
                    return found
        raise AssertionError("the changes ended")

    return asyncio.run(taken())


@pytest.mark.parametrize(
    ("answers", "changed"),
    [
        pytest.param([None, None, version(1)], [None, version(1)], id="an object that is made"),
        pytest.param([version(1), version(1), version(2)], [version(1), version(2)], id="each version once"),
        pytest.param([version(1), None, version(2)], [version(1), None, version(2)], id="one that is made again"),
        pytest.param(
            [version(1), ClusterUnavailable("too late"), version(2)], [version(1), version(2)], id="an answer too late"
        ),
        pytest.param([ClusterUnavailable("too late"), version(1)], [version(1)], id="the first answer too late"),
    ],
)
def test_looks_find_the_changes(answers: list[Version | Exception], changed: list[Version]) -> None:
    assert changes_of(*answers, count=len(changed)) == changed


def test_the_keys_of_feedback_are_new_for_each_deployment() -> None:
    first, second = (feedback_secret({"metadata": {"name": name}}) for name in ("reviews", "mails"))
    assert (first["metadata"]["name"], second["metadata"]["name"]) == ("reviews-feedback", "mails-feedback")
    assert len(first["stringData"]["keys"]) == 64
    assert first["stringData"] != second["stringData"]


def test_the_chart_is_told_of_the_prometheus_that_selects_its_monitors() -> None:
    found = values()
    assert found["prometheus.url"] == URL
    labels = {name.removeprefix("monitor.labels."): value for name, value in found.items() if ".labels." in name}
    assert labels == SELECTOR
