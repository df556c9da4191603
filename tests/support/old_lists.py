"""`OldLists`: an operator that is started again on lists of the past, with silent watches. One namespace for each past.

lists = OldLists({"it was being prepared": client}, proxy, tmp_path)
lists.operator.start()
...
lists.record("preparing")
...
lists.operator.kill()
old = lists.start_with({"it was being prepared": Old("preparing", ALL)})
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from end_state import KINDS as PATHS
from fault_proxy import Match, Rule, StallWatch, Status
from operator_process import RunningOperator
from waiting import until

from tuneloop_operator.controller.controllers import CHILD_KINDS, KINDS
from tuneloop_operator.names import MANAGED_BY, MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fault_proxy import ActiveRule, Call, FaultProxy
    from namespace_client import NamespaceClient

ALL = (*KINDS, *CHILD_KINDS)
_QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class Old:
    """Which lists of a namespace are old, and of which moment."""

    moment: str
    kinds: tuple[str, ...]


class OldLists:
    """One operator behind a proxy, for all namespaces. The caller starts and kills the operator, except for a start with old lists."""

    def __init__(
        self, clients: Mapping[str, NamespaceClient], proxy: FaultProxy, folder: Path, **settings: Any
    ) -> None:
        names = [client.namespace for client in clients.values()]
        self.clients = clients
        self.operator = RunningOperator(
            None, folder, kubeconfig=proxy.kubeconfig, pod_namespace=names[0], namespaces=",".join(names), **settings
        )
        self._proxy = proxy
        self._worlds: dict[str, dict[tuple[str, str], Any]] = {}

    def record(self, moment: str) -> None:
        """Keep the lists of every namespace as they are now."""
        self._worlds[moment] = {
            (what, kind): listed(client, kind) for what, client in self.clients.items() for kind in ALL
        }

    def start_with(self, old: Mapping[str, Old]) -> list[ActiveRule]:
        """Start the operator with old lists and silent watches; return once it asks for nothing any more."""
        active = [self._proxy.add(rule) for what, how in old.items() for rule in self._rules(what, how)]
        before = len(self._calls())
        self.operator.start()
        self.operator.wait_ready().wait_leading()
        self._wait_until_quiet()
        assert all(rule.fired for rule in active)
        cached = [call for call in self._calls()[before:] if call.verb in {"get", "list"} and call.version_in]
        assert cached == [], "a read that names a version may be answered from the cache of the API server"
        return active

    def _rules(self, what: str, old: Old) -> Iterator[Rule]:
        for kind in old.kinds:
            match = {"resource": _plural_of(kind), "namespace": self.clients[what].namespace}
            yield Rule(Match(verb="list", **match, first=1), Status(200, body=self._worlds[old.moment][what, kind]))
            yield Rule(Match(verb="watch", **match), StallWatch())

    def _wait_until_quiet(self) -> None:
        before = -1
        while (now := len(self._calls())) != before:
            before = now
            time.sleep(_QUIET_SECONDS)

    def _calls(self) -> list[Call]:
        return [call for call in self._proxy.trace if call.resource not in {"leases", ""}]


def listed(client: NamespaceClient, kind: str) -> Any:
    """Return the list that the operator gets: children of ours alone."""
    query = {"labelSelector": f"{MANAGED_BY}={MANAGER}"} if kind in CHILD_KINDS else {}

    def answer() -> Any:
        reply = client.request("GET", PATHS[kind].format(namespace=client.namespace), query=query)
        return reply.body if reply.status == 200 else None  # a CRD that is just installed answers 429 for a moment

    return until(answer, seconds=30, what=f"the list of {kind}")


def _plural_of(kind: str) -> str:
    return PATHS[kind].rsplit("/", 1)[1]
