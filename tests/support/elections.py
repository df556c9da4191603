"""Operators that elect a leader, step by step: a test decides what each does next, what the network does to it, and what time it is.

server, true_time, first, second = two()
first.step()
true_time[0] = 15.0  # seconds
"""

from __future__ import annotations

import copy
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from memory_cluster import MemoryCluster

from tuneloop_operator.errors import AlreadyExists, ClusterUnavailable, Conflict, LostLeadership
from tuneloop_operator.leader.leader import Leader

Manifest = dict[str, Any]
Outcome = Manifest | Exception | None
LEASE_SECONDS, RENEW_SECONDS = 15.0, 10.0


class Server:
    """A `MemoryCluster` that holds one Lease and is reached request by request."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def carry_out(self, verb: str, manifest: Manifest | None) -> Outcome:
        """Do a request at once; return what the API server answers."""
        key = {"kind": "Lease", "namespace": "tuneloop", "name": "operator"}
        request = self.cluster.get(**key) if verb == "get" else getattr(self.cluster, verb)(manifest)
        try:
            request.send(None)
        except StopIteration as answer:
            return cast("Outcome", answer.value)
        except (AlreadyExists, Conflict) as error:
            return error
        raise AssertionError("a memory cluster answers at once")

    @property
    def lease(self) -> Manifest | None:
        return self.cluster.objects.get(("Lease", "tuneloop", "operator"))

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""


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
    true_time: list[float]
    """One number, which the operators of a test share: seconds."""
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
            clock=lambda: self.offset + self.true_time[0] * self.rate,
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
    server, true_time = Server(), [0.0]
    first = Operator(server, "first", true_time, rate=rates[0], offset=1000.0)
    return server, true_time, first, Operator(server, "second", true_time, rate=rates[1], offset=-50.0)
