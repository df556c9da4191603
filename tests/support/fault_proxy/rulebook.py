"""The rules in force, and how often each one has acted."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from waiting import LEAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fault_proxy.calls import Target
    from fault_proxy.rules import Rule


class ActiveRule:
    """One rule in force; counted in the proxy's thread, read in any."""

    def __init__(self, rule: Rule, *, remove: Callable[[ActiveRule], None]) -> None:
        self.rule = rule
        self.matched = 0
        """Calls or events that its match fitted."""
        self.fired = 0
        """How often it acted."""
        self._remove = remove
        self._changed = threading.Condition()

    def remove(self) -> None:
        """Take it out of force; returns when that is so. What it stalled goes on."""
        self._remove(self)

    def wait(self, times: int = 1, *, timeout_seconds: float = LEAST_SECONDS) -> None:
        """Return once it has acted so often. Raises AssertionError at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self.fired < times:
                left = deadline - time.monotonic()
                assert left > 0, f"{self.rule} acted {self.fired} times within {timeout_seconds} s, not {times}"
                self._changed.wait(left)

    def counts(self, target: Target, *, event: str | None = None) -> bool:
        """Count a call or event; return whether the rule acts on it."""
        if not self.rule.match.fits(target, event=event):
            return False
        self.matched += 1
        if not self.rule.match.is_due(self.matched):
            return False
        with self._changed:
            self.fired += 1
            self._changed.notify_all()
        return True


class Rulebook:
    """All rules in force, in the order in which they were added. Used in the proxy's thread alone."""

    def __init__(self) -> None:
        self._active: list[ActiveRule] = []

    def add(self, rule: ActiveRule) -> None:
        self._active.append(rule)

    def remove(self, rule: ActiveRule) -> None:
        if rule in self._active:
            self._active.remove(rule)

    def all(self) -> tuple[ActiveRule, ...]:
        return tuple(self._active)

    def for_call(self, target: Target) -> list[ActiveRule]:
        """Return the rules that act on this call."""
        return list(self._due(target, of_watch=False))

    def for_watch(self, target: Target) -> list[ActiveRule]:
        """Return the rules that act on this watch as a whole."""
        return list(self._due(target, of_watch=True))

    def for_event(self, target: Target, event: str) -> list[ActiveRule]:
        """Return the rules that act on this event of a watch."""
        return [active for active in self._active if active.rule.is_of_events and active.counts(target, event=event)]

    def _due(self, target: Target, *, of_watch: bool) -> Iterator[ActiveRule]:
        for active in self._active:
            is_asked = not active.rule.is_of_events and active.rule.act.of_watch is of_watch
            if is_asked and active.counts(target):
                yield active
