"""kopf, the watcher: everything that the operator does with kopf is in this module. Nothing is decided here.

A handler passes each event on, which cannot fail. Lists are read in the HTTP reply itself. So the operator knows when it has all objects of
a kind, and which objects were deleted while a watch was broken, even if none is left. kopf gets the version of a list without its objects:
it would pass them on singly, at half a millisecond for each object, without a mark at the last.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import kopf

from tuneloop_operator.cluster.connection import read_connection
from tuneloop_operator.cluster.pages import Page, Scope
from tuneloop_operator.cluster.resources import resource_of
from tuneloop_operator.names import MANAGED_BY, MANAGER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import NoReturn

    from tuneloop_operator.cluster import Kind, Manifest

    OnEvent = Callable[[str | None, Manifest], None]
    OnListPage = Callable[[Page], None]

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT_SECONDS = 10.0
_STOP_SECONDS = 1.0
_NAMESPACE = re.compile(r"/namespaces/([^/]+)/")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The kinds to watch."""

    ours: tuple[Kind, ...]
    """All objects of these kinds."""
    children: tuple[Kind, ...]
    """Objects of these kinds that carry our label."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All of them."""
        return self.ours + self.children

    def scopes(self, namespaces: Collection[str]) -> list[Scope]:
        """Return the lists that are read for these namespaces (empty: all namespaces)."""
        return [Scope(kind, namespace) for kind in self.kinds for namespace in namespaces or (None,)]


async def watch(
    watched: Watched,
    *,
    namespaces: Collection[str],
    on_event: OnEvent,
    on_list_page: OnListPage,
    spawned: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Watch for as long as the task lives. If kopf gives up, start it again, with new lists.

    spawned: called after each start, because kopf takes the signals of the process for itself.
    """
    for wait in backoffs():
        tasks = await kopf.spawn_tasks(
            registry=_registry(watched, on_event, on_list_page),
            settings=watch_settings(watched),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
        )
        spawned()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in done:
            error = None if task.cancelled() else task.exception()
            _LOG.warning("the watch ended and starts again in %.1f s: %s: %s", wait, task.get_name(), error)
        await asyncio.sleep(wait)
    raise AssertionError("backoffs never end")


def backoffs() -> Iterator[float]:
    """Yield seconds without end: doubling from 1 to 10, shortened at random by up to half, so that replicas do not return at once."""
    longest = 1.0
    while True:
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, hides nothing)
        longest = min(longest * 2, _LONGEST_WAIT_SECONDS)


class _EndlessBackoffs:
    """What kopf iterates over, from the start for each request."""

    def __iter__(self) -> Iterator[float]:
        return backoffs()


class _NoDifferences:
    """A kopf.DiffBaseStorage that stores nothing. kopf would copy each object for change handlers, and there are none."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("there is no handler whose state kopf would store")


def watch_settings(watched: Watched) -> Any:
    """Return kopf's settings: lists in pages of 500, watches with time-outs, endless retries, no Events, no peering, no other kinds."""
    settings = kopf.OperatorSettings()
    # else kopf kills the process 10 minutes after the watch is started again
    settings.process.ultimate_exiting_timeout = None
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.posting.level = logging.WARNING
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.1
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 360
    settings.watching.connect_timeout = 10
    for kind in watched.children:
        settings.watching.label_selectors[_names(kind)] = f"{MANAGED_BY}={MANAGER}"
    return settings


def page_of(url: str, query: dict[str, str], body: Any, *, watched: Watched) -> Page | None:
    """Return the page of a list that a reply holds; None if it is no list of a watched kind."""
    kind = body.get("kind", "").removesuffix("List") if isinstance(body, dict) else ""
    if kind not in watched.kinds or "items" not in body:
        return None
    namespace = _NAMESPACE.search(url)
    identity = {"kind": kind, "apiVersion": body["apiVersion"]}
    return Page(
        scope=Scope(kind, namespace[1] if namespace else None),
        items=tuple(identity | item for item in body["items"]),
        version=body["metadata"]["resourceVersion"],
        is_first="continue" not in query,
        is_last=not body["metadata"].get("continue"),
    )


def _registry(watched: Watched, on_event: OnEvent, on_list_page: OnListPage) -> Any:
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> Any:
        return await _session(watched, on_list_page)

    async def pass_on(event: Any, **_: Any) -> None:
        on_event(event["type"], event["object"])

    kopf.on.login(registry=registry)(login)
    for kind in watched.kinds:
        kopf.on.event(*_names(kind), registry=registry)(pass_on)
    return registry


async def _session(watched: Watched, on_list_page: OnListPage) -> Any:
    """Return an HTTP session for kopf that takes the objects out of each page of a list."""

    class Reply(aiohttp.ClientResponse):
        async def json(self, **arguments: Any) -> Any:
            body = await super().json(**arguments)
            page = page_of(self.url.path, dict(self.url.query), body, watched=watched)
            if page is None:
                return body
            on_list_page(page)
            return body | {"items": []}

    connection = await read_connection()
    info = kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_path,
        insecure=connection.insecure,
        token=connection.token,
        certificate_path=connection.certificate_path,
        private_key_path=connection.private_key_path,
    )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=connection.proxy_url,
        response_class=Reply,
    )
    return kopf.AiohttpSession(server=connection.server, aiohttp_session=session)


def _names(kind: Kind) -> tuple[str, str, str]:
    """Return group, version and plural of a kind."""
    resource = resource_of(kind)
    group, _, version = resource.api_version.rpartition("/")
    return group, version, resource.plural
