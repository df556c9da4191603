"""Roll-outs by routers in which anything happens at random: whatever it is, requests have somewhere to go, and the end is as it should be.

`Routed` checks after every write that each share has its servers and that the Service has a target, and at rest that there are not too many servers
and that no revision without servers has a share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from compared_in_memory import Compared
from rollout_walks import Walk, walk_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


class RoutedWalk(Walk):
    """Routers go away, come late with a split, and are refused; the comparator begins anew."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Compared())

    async def begin(self, rollout: dict[str, Any]) -> None:
        await self.deployed.create(replicas=2, **rollout)

    def possible(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.scale,
            self.lose_a_router,
            self.lose_the_comparator,
            self.turn_slow,
            self.turn_quick,
            self.refuse,
            self.accept,
        )

    async def scale(self) -> None:
        await self.deployed.change(replicas=self.chance.choice((1, 2, 4)))

    async def lose_a_router(self) -> None:
        if self.deployed.routers:
            await self.deployed.lose_router(self.chance.choice(sorted(self.deployed.routers)))

    async def lose_the_comparator(self) -> None:
        await self.deployed.replace_comparator()

    async def turn_slow(self) -> None:
        self.deployed.is_slow = True

    async def turn_quick(self) -> None:
        self.deployed.is_slow = False
        await self.deployed.settle()

    async def refuse(self) -> None:
        self.deployed.refusal = "no room"

    async def accept(self) -> None:
        self.deployed.refusal = ""

    async def end_troubles(self) -> None:
        await self.accept()
        await self.turn_quick()

    def check_end(self, newest: str) -> None:
        deployed = self.deployed
        full = deployed.stored["spec"]["replicas"]
        assert {name: count for name, count in deployed.counts.items() if count} == {newest: full}
        if deployed.stored["spec"]["rollout"]["strategy"] == "Recreate":
            assert (deployed.target, deployed.routers) == (newest, {})
        else:
            assert deployed.target == "routers"
            assert deployed.followed == len(deployed.routers) * [{newest: 100}]


@pytest.mark.parametrize("seeds", [(1, 3, 4), pytest.param(range(150), marks=pytest.mark.full)], ids=["few", "many"])
def test_whatever_happens_requests_have_somewhere_to_go_and_all_ends_well(seeds: Iterable[int]) -> None:
    """The few begin with servers that replace others, and with copies."""
    walk_all(seeds, RoutedWalk)
