"""kopf, the watcher: every decorator of it, and nothing that decides.

A handler only shows the operator what came, which cannot fail. Lists are read where they come in, in the reply itself: that is how we know
when a kind is known completely, and what vanished while a watch was broken, even if nothing is left. kopf gets their versions only, because
it would hand their objects over one by one, without saying which is the last, at half a millisecond each.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
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
OURS: tuple[Kind, ...] = ("FineTuneJob", "ModelDeployment")
CHILDREN: tuple[Kind, ...] = ("Job", "Pod", "Service", "ConfigMap", "Deployment", "NetworkPolicy")
_LONGEST_WAIT_SECONDS = 10.0
_STOP_SECONDS = 1.0
_NAMESPACE = re.compile(r"/namespaces/([^/]+)/")


def scopes(namespaces: Collection[str]) -> list[Scope]:
    """Return the lists that are taken for these namespaces (empty: all)."""
    return [Scope(kind, namespace) for kind in OURS + CHILDREN for namespace in namespaces or (None,)]


async def watch(
    *,
    namespaces: Collection[str],
    on_event: OnEvent,
    on_list_page: OnListPage,
    spawned: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Watch our kinds and their children for as long as the task lives; when kopf gives up, begin anew with fresh lists.

    `spawned` is called each time after kopf has taken the process's signals for itself.
    """
    for wait in backoffs():
        tasks = await kopf.spawn_tasks(
            registry=_registry(on_event, on_list_page),
            settings=watch_settings(),
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
            _LOG.warning("the watch ended and begins anew in %.1f s: %s: %s", wait, task.get_name(), error)
        await asyncio.sleep(wait)
    raise AssertionError("the waits have no end")


def backoffs() -> Iterator[float]:
    """Yield seconds without end: doubling from 1 to 10, shortened by up to half, so that not all replicas come back at once."""
    longest = 1.0
    while True:
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, hides nothing)
        longest = min(longest * 2, _LONGEST_WAIT_SECONDS)


class _EndlessBackoffs:
    """What kopf iterates over anew for each request."""

    def __iter__(self) -> Iterator[float]:
        return backoffs()


class _NoDifferences:
    """A kopf.DiffBaseStorage that remembers nothing: kopf would copy each object that it is told of, for change handlers that we do not have."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("nothing is handled that kopf could want to remember")


def watch_settings() -> Any:
    """Return kopf's settings: one list in pages of 500, watches that never stall for good, nothing posted, nothing given up."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = (
        None  # it would kill the process 10 minutes after a watch that began anew
    )
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
    for kind in CHILDREN:
        settings.watching.label_selectors[_names(kind)] = f"{MANAGED_BY}={MANAGER}"
    return settings


def page_of(url: str, query: dict[str, str], body: Any) -> Page | None:
    """Return the page of a list that an answer holds; None if it is no list of what we watch."""
    kind = body.get("kind", "").removesuffix("List") if isinstance(body, dict) else ""
    if kind not in OURS + CHILDREN or "items" not in body:
        return None
    found = _NAMESPACE.search(url)
    named = {"kind": kind, "apiVersion": body["apiVersion"]}
    return Page(
        scope=Scope(kind, found[1] if found else None),
        items=tuple(named | item for item in body["items"]),
        version=body["metadata"]["resourceVersion"],
        is_first="continue" not in query,
        is_last=not body["metadata"].get("continue"),
    )


def _registry(on_event: OnEvent, on_list_page: OnListPage) -> Any:
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> Any:
        return await _session(on_list_page)

    async def seen(event: Any, **_: Any) -> None:
        on_event(event["type"], event["object"])

    kopf.on.login(registry=registry)(login)
    for kind in OURS + CHILDREN:
        kopf.on.event(*_names(kind), registry=registry)(seen)
    return registry


async def _session(on_list_page: OnListPage) -> Any:
    """Return an HTTP session for kopf that takes the objects out of each page of a list."""

    class Reply(aiohttp.ClientResponse):
        async def json(self, **arguments: Any) -> Any:
            body = await super().json(**arguments)
            page = page_of(self.url.path, dict(self.url.query), body)
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
