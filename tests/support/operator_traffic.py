"""`Traffic`: what an operator behind a fault proxy writes for one object of ours, found by name; whether it has come to rest.

traffic = Traffic(proxy, "team-a", "reviews")
traffic.come_to_rest()
assert traffic.made["jobs", "reviews-a1"] == 1
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from fault_proxy import tally, writes
from waiting import deadline_after

if TYPE_CHECKING:
    from fault_proxy import Call, FaultProxy

REST_SECONDS = 3.0
"""A loop writes more often than this."""
_NOT_OF_ONE_OBJECT = ("leases", "endpointslices")


class Traffic:
    """The calls about a FineTuneJob or ModelDeployment, its children and its Events: their names begin with its own. For one thread."""

    def __init__(self, proxy: FaultProxy, namespace: str, name: str) -> None:
        self._proxy = proxy
        self._namespace = namespace
        self._name = name
        self._found: list[Call] = []
        self._calls_read = 0

    @property
    def calls(self) -> list[Call]:
        """All calls, in the order in which they ended."""
        new = self._proxy.trace[self._calls_read :]
        self._calls_read += len(new)
        self._found += [call for call in new if self._is_ours(call)]
        return list(self._found)

    @property
    def writes(self) -> list[Call]:
        """The writes, whatever became of them."""
        return writes(self.calls, without=_NOT_OF_ONE_OBJECT)

    @property
    def changes(self) -> list[Call]:
        """The writes but Events, which report what was before, and may come late."""
        return [call for call in self.writes if call.resource != "events"]

    @property
    def made(self) -> Counter[tuple[str, str]]:
        """How often each object was created: (resource, name)."""
        return self._counted("create")

    @property
    def deleted(self) -> Counter[tuple[str, str]]:
        """How often each object was deleted: (resource, name)."""
        return self._counted("delete")

    def applied(self, resource: str) -> list[Call]:
        """Return the server-side applies of one resource."""
        return [call for call in self.writes if (call.verb, call.resource) == ("apply", resource)]

    def come_to_rest(self, *, seconds: float = 60.0) -> None:
        """Return once nothing was written for `REST_SECONDS`. Raises AssertionError with the last writes at the deadline."""
        deadline = deadline_after(seconds)
        before, since = self.writes, time.monotonic()
        while time.monotonic() - since < REST_SECONDS:
            time.sleep(0.1)
            if len(now := self.writes) != len(before):
                before, since = now, time.monotonic()
            assert time.monotonic() < deadline, "\n".join(map(_line, before[-20:]))

    def _counted(self, verb: str) -> Counter[tuple[str, str]]:
        counted: Counter[tuple[str, str]] = Counter()
        for (found, resource, _, name), count in tally(self.calls).items():
            if found == verb:
                counted[resource, name] += count
        return counted

    def _is_ours(self, call: Call) -> bool:
        is_named = call.name == self._name or call.name.startswith(f"{self._name}-")
        return call.namespace == self._namespace and is_named


def _line(call: Call) -> str:
    subresource = f"/{call.subresource}" if call.subresource else ""
    return f"{call.at:.2f} {call.verb} {call.resource}{subresource} {call.name}: {call.code}"
