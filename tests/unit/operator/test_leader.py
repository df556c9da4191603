"""The election: never two leaders, whatever is lost, late or stopped; and what each situation leads to."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop_operator.errors import AlreadyExists, ClusterUnavailable, Conflict, LostLeadership
from tuneloop_operator.leader import Leader

Manifest = dict[str, Any]
Outcome = Manifest | Exception | None
LEASE_SECONDS, RENEW_SECONDS = 15.0, 10.0


class Server:
    """One Lease, kept as the API server keeps it: a replace needs the resourceVersion that is stored."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0

    def carry_out(self, verb: str, manifest: Manifest | None) -> Outcome:
        if verb == "get":
            return copy.deepcopy(self.lease)
        assert manifest is not None
        if verb == "create" and self.lease is not None:
            return AlreadyExists("there")
        if verb == "replace" and (self.lease is None or self._rv(self.lease) != self._rv(manifest)):
            return Conflict("changed")
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    @staticmethod
    def _rv(manifest: Manifest) -> Any:
        return manifest["metadata"].get("resourceVersion")


@dataclass
class Asked:
    """A request on its way; whoever plays the network decides when it arrives and what comes back."""

    verb: str
    manifest: Manifest | None
    arrived: bool = False
    outcome: Outcome = None

    def __await__(self) -> Generator[Asked, Outcome, Outcome]:
        answer = yield self
        return answer


class Network:
    async def get(self, *, kind: str, namespace: str, name: str) -> Any:
        return await Asked("get", None)

    async def create(self, manifest: Manifest) -> Any:
        return await Asked("create", copy.deepcopy(manifest))

    async def replace(self, manifest: Manifest) -> Any:
        return await Asked("replace", copy.deepcopy(manifest))


@dataclass
class Operator:
    """A leader with a clock of its own: another zero, and seconds of another length."""

    server: Server
    name: str
    world: list[float]
    rate: float = 1.0
    offset: float = 0.0
    doing: Coroutine[Any, Any, None] | None = None
    request: Asked | None = None
    gone: bool = False
    leader: Leader = field(init=False)

    def __post_init__(self) -> None:
        self.leader = Leader(
            leases=Network(),  # type: ignore[arg-type]
            namespace="tuneloop",
            name="operator",
            identity=self.name,
            lease_seconds=LEASE_SECONDS,
            renew_seconds=RENEW_SECONDS,
            clock=lambda: self.offset + self.world[0] * self.rate,
        )

    @property
    def released(self) -> bool:
        return self.leader._released.is_set()

    def begin(self, coroutine: Coroutine[Any, Any, None] | None = None) -> None:
        """Start a step, up to its first request."""
        if self.doing is None and not self.gone:
            self.doing = coroutine or self.leader._step()
            self._go_on(None)
        elif coroutine is not None:
            coroutine.close()

    def arrive(self) -> None:
        if self.request is not None and not self.request.arrived:
            self.request.arrived = True
            self.request.outcome = self.server.carry_out(self.request.verb, self.request.manifest)

    def answer(self) -> None:
        if self.request is not None:
            self.arrive()
            self._go_on(self.request.outcome)

    def lose(self) -> Asked | None:
        """Let the answer be lost; return the request, which may still arrive."""
        lost = self.request
        if lost is not None:
            self._go_on(ClusterUnavailable("no answer"))
        return lost if lost is not None and not lost.arrived else None

    def step(self) -> None:
        """Do a whole step over a network that works."""
        self.begin()
        while self.request is not None:
            self.answer()

    def release(self) -> None:
        self.begin(self.leader.release())
        while self.request is not None:
            self.answer()

    def _go_on(self, outcome: Outcome) -> None:
        assert self.doing is not None
        self.request = None
        try:
            self.request = self.doing.throw(outcome) if isinstance(outcome, Exception) else self.doing.send(outcome)
        except StopIteration:
            self.doing = None
        except LostLeadership:
            self.doing, self.gone = None, True


def two(*, rates: tuple[float, float] = (1.0, 1.0)) -> tuple[Server, list[float], Operator, Operator]:
    server, world = Server(), [0.0]
    first = Operator(server, "first", world, rate=rates[0], offset=1000.0)
    return server, world, first, Operator(server, "second", world, rate=rates[1], offset=-50.0)


PAUSES = (0.1, 1.0, 4.9, 9.9, 14.9)
"""Seconds; so that what is a little too early and a little too late both happen often."""
WEIGHTS = {
    "begin": 6, "arrive": 5, "answer": 8, "step": 4, "lose": 1, "late": 1, "release": 0.2, "edit": 0.3, "start_again": 0.5,
}  # fmt: skip
RATES = (0.85, 1.0, 1.15)


class World:
    """Two operators, their server, and whatever may go wrong between them."""

    def __init__(self, dice: Random) -> None:
        self.server, self.time, *self.operators = two(rates=(dice.choice(RATES), dice.choice(RATES)))
        self._dice = dice
        self._late: list[Asked] = []

    def do(self, action: str, which: int) -> None:
        one = self.operators[which]
        if action == "lose":
            self._late += [lost] if (lost := one.lose()) is not None else []
        elif action == "late":
            self._dice.shuffle(self._late)
            for request in self._late[:1]:
                self.server.carry_out(request.verb, request.manifest)
            del self._late[:1]
        elif action == "edit" and self.server.lease is not None:
            self.server.carry_out("replace", copy.deepcopy(self.server.lease))
        elif action == "start_again" and one.doing is None and (one.gone or one.released):
            self.operators[which] = Operator(self.server, one.name, self.time, rate=one.rate, offset=one.offset)
        elif action == "release" and one.doing is None:
            one.begin(one.leader.release())
        elif action in {"arrive", "answer"} or (action in {"begin", "step"} and one.doing is None and not one.released):
            getattr(one, action)()

    @property
    def leaders(self) -> list[str]:
        return [one.name for one in self.operators if one.leader.leads()]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**64 - 1))
def test_two_never_lead_at_once(seed: int) -> None:
    """Whatever arrives late or never, whoever is stopped for how long, and though their seconds differ by a third."""
    dice = Random(seed)
    world, history = World(dice), list[tuple[str, int, float]]()
    for _ in range(60):
        first_ones_share = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))  # the other one is stopped, or almost
        for action in dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=dice.randrange(1, 12)):
            which = int(dice.random() >= first_ones_share)
            history.append((action, which, world.time[0]))
            world.do(action, which)
            assert len(world.leaders) < 2, history[-40:]
        world.time[0] += dice.choice(PAUSES)
        assert len(world.leaders) < 2, history[-40:]


def test_the_first_one_leads_and_the_second_waits() -> None:
    server, _, first, second = two()
    first.step()
    second.step()
    assert (first.leader.leads(), second.leader.leads(), server.holder) == (True, False, "first")


def test_a_leader_that_cannot_renew_stops_writing_before_another_one_may() -> None:
    _, world, first, second = two()
    first.step()
    second.step()
    world[0] = RENEW_SECONDS - 0.1
    assert first.leader.leads()
    world[0] = RENEW_SECONDS
    assert not first.leader.leads()
    second.step()
    assert not second.leader.leads()
    world[0] = LEASE_SECONDS
    second.step()
    assert second.leader.leads()


def test_renewals_keep_the_other_one_away() -> None:
    _, world, first, second = two()
    for _ in range(60):
        world[0] += 2.0
        first.step()
        second.step()
    assert (first.leader.leads(), second.leader.leads()) == (True, False)


def test_the_time_that_stands_in_the_lease_says_nothing() -> None:
    server, world, first, second = two()
    first.step()
    assert server.lease is not None
    server.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    second.step()
    world[0] = LEASE_SECONDS - 0.1
    second.step()
    assert not second.leader.leads()


def test_a_lease_that_asks_for_longer_is_given_longer() -> None:
    server, world, first, second = two()
    first.step()
    assert server.lease is not None
    server.lease["spec"]["leaseDurationSeconds"] = 60
    second.step()
    world[0] = 59.0
    second.step()
    assert not second.leader.leads()
    world[0] = 60.0
    second.step()
    assert second.leader.leads()


def test_after_an_outage_the_leader_goes_on_if_nobody_took_over() -> None:
    _, world, first, _ = two()
    first.step()
    first.begin()
    first.lose()
    world[0] = 300.0
    assert not first.leader.leads()
    first.step()
    assert first.leader.leads()


def test_a_renewal_whose_answer_was_lost_is_renewed_again() -> None:
    _, world, first, _ = two()
    first.step()
    first.begin()
    first.arrive()
    first.lose()
    world[0] = 9.0
    first.step()
    world[0] = 12.0
    assert first.leader.leads()


def test_an_answer_that_comes_late_counts_from_when_it_was_asked() -> None:
    _, world, first, _ = two()
    first.begin()
    first.answer()  # the read
    first.arrive()
    world[0] = 8.0
    first.answer()
    assert first.leader.leads()
    world[0] = RENEW_SECONDS
    assert not first.leader.leads()


def test_who_led_and_sees_another_holder_ends() -> None:
    _, world, first, second = two()
    first.step()
    second.step()
    world[0] = LEASE_SECONDS
    second.step()
    first.step()  # the renewal is turned down
    first.step()
    assert first.gone


def test_who_never_led_sees_another_holder_and_goes_on_waiting() -> None:
    _, _, first, second = two()
    first.step()
    second.step()
    assert not second.gone


def test_of_two_that_take_an_old_lease_only_the_faster_one_leads() -> None:
    server, world, first, second = two()
    Operator(server, "third", world).step()
    for one in (first, second):
        one.step()
    world[0] = LEASE_SECONDS
    for one in (first, second):
        one.begin()
        one.answer()  # the read
    for one in (first, second):
        one.answer()
    assert [one.leader.leads() for one in (first, second)] == [True, False]
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


def test_a_released_lease_is_taken_at_the_next_look() -> None:
    server, world, first, second = two()
    first.step()
    second.step()
    first.release()
    assert (first.leader.leads(), server.holder) == (False, "")
    world[0] += 0.1
    second.step()
    assert second.leader.leads()


def test_a_release_after_a_lost_answer_still_empties_the_lease() -> None:
    server, _, first, _ = two()
    first.step()
    first.begin()
    first.arrive()
    first.lose()
    first.release()
    assert server.holder == ""


def test_who_does_not_lead_releases_nothing() -> None:
    server, _, first, second = two()
    first.step()
    second.step()
    second.release()
    assert server.holder == "first"


def test_a_process_that_starts_again_in_its_pod_leads_at_once() -> None:
    server, world, first, _ = two()
    first.step()
    again = Operator(server, "first", world, offset=7.0)
    again.step()
    assert again.leader.leads()


class Instant:
    """An API server that answers at once, or not at all."""

    def __init__(self) -> None:
        self.server = Server()
        self.is_up = True

    async def get(self, *, kind: str, namespace: str, name: str) -> Any:
        return self._do("get", None)

    async def create(self, manifest: Manifest) -> Any:
        return self._do("create", manifest)

    async def replace(self, manifest: Manifest) -> Any:
        return self._do("replace", manifest)

    def _do(self, verb: str, manifest: Manifest | None) -> Any:
        if not self.is_up:
            raise ClusterUnavailable("down")
        outcome = self.server.carry_out(verb, manifest)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def quick(leases: Instant, identity: str, told: list[bool]) -> Leader:
    return Leader(
        leases=leases,  # type: ignore[arg-type]
        namespace="tuneloop",
        name="operator",
        identity=identity,
        lease_seconds=1.0,
        renew_seconds=0.2,
        retry_seconds=0.02,
        on_change=told.append,
    )


async def until(condition: Any, *, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is awaited has no event)
            await asyncio.sleep(0.005)


def test_an_outage_stops_the_writes_and_not_the_process() -> None:
    async def story() -> list[bool]:
        leases, told = Instant(), list[bool]()
        leader = quick(leases, "first", told)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        leases.is_up = False
        await until(lambda: told == [True, False])
        assert not running.done()
        leases.is_up = True
        await until(leader.leads)
        await leader.release()
        await running
        return told

    assert asyncio.run(story()) == [True, False, True, False]


def test_another_holder_ends_the_run_with_its_name() -> None:
    async def story() -> None:
        leases, told = Instant(), list[bool]()
        leader = quick(leases, "first", told)
        running = asyncio.create_task(leader.run())
        await until(leader.leads)
        assert leases.server.lease is not None
        other = copy.deepcopy(leases.server.lease)
        other["spec"]["holderIdentity"] = "second"
        leases.server.carry_out("replace", other)
        with pytest.raises(LostLeadership, match="second leads now"):
            await running
        assert told == [True, False]

    asyncio.run(story())
