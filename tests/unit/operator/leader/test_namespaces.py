"""Releases that watch the same namespace, over an API server in memory: who acts, what each says, and never two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from elections import Asked, Network
from hypothesis import given, settings
from hypothesis import strategies as st
from log_records import messages_of
from memory_cluster import MemoryCluster

from tuneloop_operator.errors import AlreadyExists, ClusterError, ClusterUnavailable, Conflict, Refused
from tuneloop_operator.leader.namespaces import NamespaceLeases
from tuneloop_operator.names import NAMESPACE_LEASE

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ("Lease", "team-a", NAMESPACE_LEASE)


class Time:
    """The clock of a test."""

    def __init__(self) -> None:
        self.now = 0.0


def release(cluster: MemoryCluster, name: str, time: Time) -> NamespaceLeases:
    return NamespaceLeases(
        leases=cluster,
        release=f"home/{name}",
        lease_seconds=900.0,
        clock=lambda: time.now,
        wall=lambda: START + timedelta(seconds=time.now),
    )


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(lambda: START)


@pytest.fixture
def time() -> Time:
    return Time()


def test_the_first_release_acts_and_the_second_asks_again_in_a_minute(cluster: MemoryCluster, time: Time) -> None:
    first, second = release(cluster, "first", time), release(cluster, "second", time)

    async def story() -> list[float]:
        return [await first.wait("team-a"), await second.wait("team-a"), await first.wait("team-a")]

    assert asyncio.run(story()) == [0.0, 60.0, 0.0]
    assert second.foreign() == {"team-a": "home/first"}
    assert second.holder("team-a") == "home/first"
    assert first.foreign() == {}


def test_a_release_asks_once_for_many_objects(cluster: MemoryCluster, time: Time) -> None:
    first, second = release(cluster, "first", time), release(cluster, "second", time)

    async def story() -> None:
        for _ in range(3):
            await asyncio.gather(*(of.wait("team-a") for of in (first, second) for _ in range(8)))

    asyncio.run(story())
    assert cluster.reads == 2
    assert len(cluster.writes) == 1


def test_the_second_release_says_so_once_and_says_when_it_acts(cluster: MemoryCluster, time: Time) -> None:
    first, second = release(cluster, "first", time), release(cluster, "second", time)

    async def story() -> None:
        await first.wait("team-a")
        for minute in range(17):
            time.now = minute * 60.0
            await second.wait("team-a")

    with messages_of("tuneloop_operator.leader.namespaces") as messages:
        asyncio.run(story())
    left, ours = messages
    assert "namespace team-a is left alone: the release home/first acts there, and this one is home/second" in left
    assert "kubectl -n team-a delete lease owner.tuneloop.dev" in left
    assert "no longer held by another release" in ours
    assert second.foreign() == {}


def test_a_replica_of_the_same_release_does_not_wait(cluster: MemoryCluster, time: Time) -> None:
    old, new = release(cluster, "first", time), release(cluster, "first", time)

    async def story() -> list[float]:
        waits = [await old.wait("team-a"), await new.wait("team-a")]
        time.now = 400.0
        return [*waits, await old.wait("team-a")]  # its version of the Lease is an old one by now

    assert asyncio.run(story()) == [0.0, 0.0, 0.0]


def test_a_holder_with_objects_keeps_its_namespace_and_forgets_one_without(cluster: MemoryCluster, time: Time) -> None:
    first, second = release(cluster, "first", time), release(cluster, "second", time)

    async def story() -> list[float]:
        await first.wait("team-a")
        await first.wait("team-b")
        waits = []
        for number in range(1, 61):
            time.now = number * 30.0
            await first.renew({"team-a"})
            waits.append(await second.wait("team-a"))
        return waits

    assert min(asyncio.run(story())) > 0
    assert first.foreign() == {}
    assert len([write for write in cluster.writes if write[0] == "replace"]) == 1800 // 300


def test_a_holder_whose_lease_was_deleted_and_taken_gives_way(cluster: MemoryCluster, time: Time) -> None:
    first, second = release(cluster, "first", time), release(cluster, "second", time)

    async def story() -> list[float]:
        await first.wait("team-a")
        del cluster.objects[KEY]
        waits = [await second.wait("team-a")]
        time.now = 300.0
        await first.renew({"team-a"})
        return [*waits, await first.wait("team-a"), await second.wait("team-a")]

    assert asyncio.run(story()) == [0.0, 60.0, 0.0]
    assert first.foreign() == {"team-a": "home/second"}


def test_an_outage_stops_a_holder_after_ten_minutes_and_not_before(cluster: MemoryCluster, time: Time) -> None:
    first = release(cluster, "first", time)

    async def story() -> None:
        await first.wait("team-a")
        cluster.is_up = False
        time.now = 599.0
        assert await first.wait("team-a") == 0.0
        await first.renew({"team-a"})
        time.now = 601.0
        with pytest.raises(ClusterUnavailable):
            await first.wait("team-a")
        cluster.is_up = True
        assert await first.wait("team-a") == 0.0

    asyncio.run(story())


def test_without_the_right_nothing_is_done(cluster: MemoryCluster, time: Time) -> None:
    cluster.refuse["Lease"] = "leases is forbidden"
    with pytest.raises(Refused, match="leases is forbidden"):
        asyncio.run(release(cluster, "first", time).wait("team-a"))


RATES = (0.9, 1.0, 1.1)
SKEWS = (-450.0, 0.0, 450.0)
"""Seconds by which clocks are wrong; no two differ by more than the largest allowed skew."""


@dataclass
class Player:
    """A release with clocks of its own, whose requests arrive when chance has it."""

    cluster: MemoryCluster
    name: str
    true_time: Time
    rate: float
    skew: float
    doing: Coroutine[Any, Any, Any] | None = None
    request: Asked | None = None
    owned: NamespaceLeases = field(init=False)

    def __post_init__(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        if self.doing is None:
            self.owned = NamespaceLeases(
                leases=Network(),  # type: ignore[arg-type]
                release=self.name,
                lease_seconds=900.0,
                clock=lambda: self.true_time.now * self.rate,
                wall=lambda: START + timedelta(seconds=self.true_time.now + self.skew),
            )

    @property
    def acts(self) -> bool:
        known = self.owned._namespaces.get("team-a")
        return known is not None and self.owned._may_act(known)

    def begin(self) -> None:
        if self.doing is None:
            self.doing = self.owned.wait("team-a")
            self._go_on(None)

    def arrive(self) -> None:
        if self.request is not None and not self.request.arrived:
            self.request.arrived = True
            self.request.outcome = carried_out(self.cluster, self.request)

    def answer(self) -> None:
        if self.request is not None:
            self.arrive()
            self._go_on(self.request.outcome)

    def lose(self) -> None:
        if self.request is not None:
            self._go_on(ClusterUnavailable("no answer"))

    def step(self) -> None:
        self.begin()
        while self.request is not None:
            self.answer()

    def _go_on(self, outcome: Any) -> None:
        assert self.doing is not None
        self.request = None
        try:
            self.request = self.doing.throw(outcome) if isinstance(outcome, Exception) else self.doing.send(outcome)
        except (StopIteration, ClusterError):
            self.doing = None


def carried_out(cluster: MemoryCluster, asked: Asked) -> Any:
    if asked.manifest is not None and asked.verb != "get":
        request: Any = getattr(cluster, asked.verb)(asked.manifest)
    else:
        request = cluster.get(kind="Lease", namespace="team-a", name=NAMESPACE_LEASE)
    try:
        request.send(None)
    except StopIteration as answer:
        return answer.value
    except (AlreadyExists, Conflict) as error:
        return error
    raise AssertionError("a memory cluster answers at once")


def actors_of(seed: int) -> set[str]:
    """Let three releases of chance watch one namespace, of which never two act at once; return who acted at some time."""
    dice, time, cluster, acted = Random(seed), Time(), MemoryCluster(lambda: START), set[str]()
    players = [Player(cluster, name, time, dice.choice(RATES), dice.choice(SKEWS)) for name in "abc"]
    asleep: set[str] = set()
    for _ in range(60):
        for player in players:
            (asleep.add if dice.random() < 0.2 else asleep.discard)(player.name)
        for _ in range(dice.randrange(1, 12)):
            player = dice.choice(players)
            if player.name not in asleep:
                getattr(player, dice.choice(["begin", "arrive", "answer", "step", "step", "lose", "start_again"]))()
            acting = [player.name for player in players if player.acts]
            assert len(acting) < 2, (time.now, acting)
            acted.update(acting)
        time.now += dice.choice((1.0, 60.0, 299.0, 599.0, 899.0, 2000.0))
        assert sum(player.acts for player in players) < 2
    return acted


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**64 - 1))
def test_two_releases_never_act_at_once(seed: int) -> None:
    """Whatever is lost, whoever is stopped for how long, though their seconds differ by a fifth and their clocks by fifteen minutes."""
    actors_of(seed)


def test_the_releases_of_chance_follow_each_other() -> None:
    assert sum(len(actors_of(seed)) == 3 for seed in range(20)) >= 10
