"""`FaultProxy`: the proxy in a thread of its own, and what a test does with it from outside."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import TYPE_CHECKING, Self

from cluster.api_client import ApiClient

from fault_proxy.credentials import administrator_token, write_kubeconfig
from fault_proxy.rulebook import ActiveRule
from fault_proxy.rules import Rule
from fault_proxy.server import ProxyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cluster.control_plane import ControlPlane

    from fault_proxy.calls import Call, Notification


class FaultProxy:
    """As a context manager it listens inside and is gone after. One client each: the proxy does not know who made a call."""

    def __init__(
        self,
        control_plane: ControlPlane,
        rules: Iterable[Rule] = (),
        *,
        folder: Path,
        token: str | None = None,
    ) -> None:
        """`folder`: for the kubeconfig and the trace; made if it is missing. `token`: the client's; by default an administrator's."""
        self.folder = folder
        self._plane = control_plane
        self._first_rules = tuple(rules)
        self._token = token
        self._calls: list[Call] = []
        self._events: list[Notification] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / "trace.jsonl").open("w")
        self._thread.start()
        try:
            self._in_loop(self._start)
            self.kubeconfig_for(self._token or self._administrator(), path=self.kubeconfig)
        except BaseException:
            self._end()
            raise
        for rule in self._first_rules:
            self.add(rule)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the client."""
        return self.folder / "kubeconfig"

    @property
    def trace_file(self) -> Path:
        """The trace, one call a line."""
        return self.folder / "trace.jsonl"

    @property
    def url(self) -> str:
        """The address, `https://127.0.0.1:PORT`."""
        return f"https://127.0.0.1:{self._server.port}"

    @property
    def trace(self) -> tuple[Call, ...]:
        """The calls that are over (of a watch: that have begun), in the order in which they ended."""
        return tuple(self._calls)

    @property
    def events(self) -> tuple[Notification, ...]:
        """The watch events that the API server has sent, whether or not they were handed on."""
        return tuple(self._events)

    @property
    def open_watches(self) -> tuple[str, ...]:
        """The resources of the watches that are open."""
        return tuple(watch.target.resource for watch in tuple(self._server.watches))

    @property
    def held_open(self) -> tuple[str, ...]:
        """The resources of the watches that the API server has ended, and that a rule keeps open."""
        return tuple(watch.target.resource for watch in tuple(self._server.watches) if watch.is_held_open)

    def kubeconfig_for(self, token: str, *, path: Path) -> None:
        """Write a kubeconfig for a client with a token of its own."""
        write_kubeconfig(path, server_url=self.url, authority=self._plane.state / "pki" / "ca.crt", token=token)

    def add(self, rule: Rule) -> ActiveRule:
        """Put a rule into force; returns when it is."""
        active = ActiveRule(rule, remove=lambda which: self._in_loop(lambda: self._remove(which)))
        self._in_loop(lambda: self._add(active))
        return active

    def clear(self) -> None:
        """Take all rules out of force, in the order in which they were added."""
        self._in_loop(self._clear)

    async def _start(self) -> None:
        pki = self._plane.state / "pki"
        upstream = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._server = ProxyServer(
            self._plane.server_url, tls=upstream, record=self._record, notify=self._events.append
        )
        await self._server.start(tls=own)

    async def _add(self, active: ActiveRule) -> None:
        self._server.rules.add(active)
        if active.rule.is_of_events or not active.rule.act.of_watch:
            return
        for watch in self._server.watches:
            if active.counts(watch.target):
                watch.meet(active)

    async def _remove(self, active: ActiveRule) -> None:
        self._server.rules.remove(active)
        for watch in self._server.watches:
            watch.release(active)

    async def _clear(self) -> None:
        for active in self._server.rules.all():
            await self._remove(active)

    def _record(self, call: Call) -> None:
        self._calls.append(call)
        self._file.write(call.to_json() + "\n")
        self._file.flush()

    def _administrator(self) -> str:
        client: ApiClient = self._plane.client()
        try:
            return administrator_token(client)
        finally:
            client.close()

    def _in_loop(self, work: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=30)

    def _end(self) -> None:
        self._in_loop(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._file.close()

    async def _stop(self) -> None:
        if hasattr(self, "_server"):
            await self._server.stop()
