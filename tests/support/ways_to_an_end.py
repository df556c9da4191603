"""Which worlds of an exploration lead to an end."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

World = TypeVar("World")


def reaching(ends: Iterable[World], before: Mapping[World, Iterable[World]]) -> set[World]:
    """Return the worlds from which an end is reached, the ends among them. before: by world, those that lead to it."""
    reached = set(ends)
    queue = deque(reached)
    while queue:
        for world in before.get(queue.popleft(), ()):
            if world not in reached:
                reached.add(world)
                queue.append(world)
    return reached
