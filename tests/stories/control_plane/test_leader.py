"""Two operators at the real API server: one leads, and the other follows when it ends, stalls or lets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.desired.common.endpoint_slice import progress_endpoint_slice
from tuneloop_operator.errors import ClusterUnavailable, LostLeadership, NotLeading
from tuneloop_operator.leader.leader import Leader


@asynccontextmanager
async def operator(plane: ControlPlane, namespace: str, name: str, **durations: Any) -> AsyncIterator[Any]:
    """Yield a leader, the task that it runs in, and an API server that it guards."""
    environ = {"KUBECONFIG": str(plane.kubeconfig)}
    api = await ApiServer.connect(environ=environ, may_write=lambda: leader.leads())  # noqa: PLW0108  (it comes after)
    leader = Leader(leases=api, namespace=namespace, name="tuneloop-operator", identity=name, **durations)
    running = asyncio.create_task(leader.run())
    try:
        yield leader, running, api
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()


async def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until the condition holds. Raises TimeoutError at the deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is awaited has no event)
            await asyncio.sleep(0.01)


class Clock:
    """A clock that a test moves; it counts how often it is read, which each step of a leader does."""

    def __init__(self) -> None:
        self.now, self.reads = 0.0, 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


def config_map(namespace: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def test_one_leads_and_only_it_writes(control_plane: ControlPlane, namespace: str) -> None:
    async def story() -> None:
        async with (
            operator(control_plane, namespace, "first") as (first, _, guarded),
            operator(control_plane, namespace, "second") as (second, _, barred),
        ):
            await until(lambda: first.leads() or second.leads())
            leading, waiting = (guarded, barred) if first.leads() else (barred, guarded)
            await leading.create(config_map(namespace, "from-the-leader"))
            with pytest.raises(NotLeading):
                await waiting.create(config_map(namespace, "from-the-other"))

    asyncio.run(story())


def test_a_successor_does_not_wait_for_the_lease_of_a_leader_that_let_go(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The lease is longer than the test may take."""
    long = {"lease_seconds": 3600.0, "renew_seconds": 1800.0, "retry_seconds": 0.2}

    async def story() -> None:
        async with operator(control_plane, namespace, "first", **long) as (first, running, _):
            await until(first.leads)
            clock = Clock()
            async with operator(control_plane, namespace, "second", clock=clock, **long) as (second, _, _):
                await until(lambda: clock.reads > 10)  # it knows the Lease, and waits for its end
                assert not second.leads()
                await first.release()
                await running
                await until(second.leads)

    asyncio.run(story())


def test_a_killed_leader_is_followed_after_its_lease_and_not_before(
    control_plane: ControlPlane, namespace: str
) -> None:
    durations = {"lease_seconds": 15.0, "renew_seconds": 10.0, "retry_seconds": 0.05}

    async def story() -> None:
        clock = Clock()
        async with operator(control_plane, namespace, "first", **durations) as (first, running, _):
            await until(first.leads)
            running.cancel()
            async with operator(control_plane, namespace, "second", clock=clock, **durations) as (second, _, _):
                await until(lambda: clock.reads > 10)
                clock.now = 14.9
                tried = clock.reads
                await until(lambda: clock.reads > tried + 10)
                assert not second.leads()
                clock.now = 15.1
                await until(second.leads)

    asyncio.run(story())


def test_a_leader_that_was_stopped_past_its_lease_writes_nothing_and_ends(
    control_plane: ControlPlane, namespace: str
) -> None:
    quick = {"lease_seconds": 1.0, "renew_seconds": 0.6, "retry_seconds": 0.1}

    async def story() -> None:
        async with operator(control_plane, namespace, "first", **quick) as (first, running, guarded):
            await until(first.leads)
            async with operator(control_plane, namespace, "second", **quick) as (second, _, _):
                await first._busy.acquire()  # as if stopped between two steps
                await until(second.leads)
                with pytest.raises(NotLeading):
                    await guarded.create(config_map(namespace, "too-late"))
                first._busy.release()
                with pytest.raises(LostLeadership, match="second leads now"):
                    await asyncio.wait_for(running, 10)

    asyncio.run(story())


@pytest.mark.usefixtures(
    "control_plane"
)  # skipped where that cannot run; the API server that is stopped is another one
def test_a_leader_outlives_its_api_server_and_goes_on_after_it(tmp_path: Path) -> None:
    quick = {"lease_seconds": 3.0, "renew_seconds": 2.0, "retry_seconds": 0.2}

    async def story(plane: ControlPlane) -> None:
        async with operator(plane, "default", "first", **quick) as (first, running, api):
            await until(first.leads)
            await asyncio.to_thread(plane.stop_api_server)
            await until(lambda: not first.leads())
            assert not running.done()
            with pytest.raises(ClusterUnavailable):
                await api.get(kind="ConfigMap", namespace="default", name="one")
            with pytest.raises(NotLeading):
                await api.create(config_map("default", "one"))
            await asyncio.to_thread(plane.start_api_server)
            await until(first.leads)
            await api.create(config_map("default", "one"))

    with ControlPlane(tmp_path) as own:
        asyncio.run(story(own))


@pytest.mark.parametrize(("address", "family"), [("10.1.2.3", "IPv4"), ("fd00::7", "IPv6")])
def test_the_leader_writes_where_progress_goes(
    control_plane: ControlPlane, namespace: str, address: str, family: str
) -> None:
    async def story() -> list[dict[str, Any]]:
        async with operator(control_plane, namespace, "first") as (first, _, api):
            await until(first.leads)
            # the first one is of release 0.1.0, which knows no routers
            made = [
                await api.apply(
                    progress_endpoint_slice(
                        namespace=namespace, service="tuneloop-progress", pod=pod, address=address, ports=ports
                    )
                )
                for pod, ports in (("first", {"https": 8443}), ("second", {"https": 8443, "routers": 8444}))
            ]
            found = await api.list(
                kind="EndpointSlice", namespace=namespace, labels={"kubernetes.io/service-name": "tuneloop-progress"}
            )
            assert found == made[1:]
            return found

    (found,) = asyncio.run(story())
    assert found["addressType"] == family
    assert [endpoint["targetRef"]["name"] for endpoint in found["endpoints"]] == ["second"]
    assert {port["name"]: port["port"] for port in found["ports"]} == {"https": 8443, "routers": 8444}
