"""Where the deployment of the story lives, and all that the story asks of it: `Place`; `wait_for`; a session on this machine, `LocalPlace`. `demo_loop.node` has another one."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, Protocol, Self

from demo_rollout import is_routed

from demo_loop.recorder import kept
from tuneloop_cli.lineage.reading import of_folder
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.lineage.documents import Documents
    from tuneloop_operator.cluster import Kind, Manifest

CLAIM = "demo"
MODEL = "minilm"


class Place(Protocol):
    """Has the objects of the namespace `default`."""

    folder: Path
    """Of the files of the story, page and events among them."""
    claim: Path
    """Folder of this machine that pods have as the claim `demo`; the base model is in it."""
    logs: Path
    """Folder of what a person reads when something went wrong."""

    async def submit(self, *manifests: Manifest) -> None:
        """Store objects."""

    def watch(self, kind: Kind, name: str) -> AsyncGenerator[Manifest | None, None]:
        """Yield the object now and after each change; None while there is no such object."""

    async def address(self, deployment: str) -> str:
        """Return the URL of a deployment once it is ready behind its routers. This machine reaches it."""

    async def documents(self) -> Documents:
        """Return the objects, for a lineage."""

    async def series(self, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
        """Return what Prometheus answers to each query from `begin` to `end`, seconds since 1970. The last thing that is asked."""


async def wait_for(
    place: Place, kind: Kind, name: str, *, until: Callable[[Manifest], bool], seconds: float | None = None
) -> Manifest:
    """Return the object once it exists and `until` holds for it. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds), aclosing(place.watch(kind, name)) as versions:
        async for version in versions:
            if version is not None and until(version):
                return version
    raise AssertionError("a watch has no end")


class LocalPlace:
    """A session in a folder, as an async context manager. Must be entered in the main thread."""

    def __init__(self, folder: Path, *, source: Path) -> None:
        """folder: of the session; source: folder with the base model."""
        self.claim = folder / "claims" / CLAIM
        self.logs = folder / "logs"
        self.folder, self._source = folder, source
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the claim, and start the session."""
        self.claim.mkdir(parents=True)
        (self.claim / MODEL).symlink_to((self._source / MODEL).resolve())
        self._session = await self._stack.enter_async_context(LocalSession(self.folder))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session, with all that it started."""
        await self._stack.aclose()

    async def submit(self, *manifests: Manifest) -> None:
        """Submit to the session."""
        await self._session.submit(*manifests)

    def watch(self, kind: Kind, name: str) -> AsyncGenerator[Manifest | None, None]:
        """Yield what the session stores."""
        return self._session.watch(kind, name)

    async def address(self, deployment: str) -> str:
        """Return the URL of its router."""
        ready = await wait_for(self, "ModelDeployment", deployment, until=is_routed(self._session))
        return str(ready["status"]["url"])

    async def documents(self) -> Documents:
        """Return what the folder holds."""
        return of_folder(self.folder)

    async def series(self, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
        """End the session, and ask the data that its Prometheus leaves."""
        await self._stack.aclose()
        return await kept(self.folder / "prometheus", queries, begin=begin, end=end)
