"""One open watch: hands on the API server's events, one line at a time, as the rules allow."""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from typing import TYPE_CHECKING

from fault_proxy.calls import Target, metadata_of
from fault_proxy.rules import (
    CutWatch,
    Delay,
    DropAfter,
    DropBefore,
    Invoke,
    Kill,
    MetCall,
    SkipEvent,
    StallWatch,
    Status,
    WatchError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import StreamReader

    from fault_proxy.rulebook import ActiveRule, Rulebook
    from fault_proxy.rules import Act

_HALF_A_LINE = b'{"type":"MODIFIED","object":{"kind":"Po'


class End(Enum):
    """How the client's side of a watch ends."""

    CLEAN = "as the API server ends it"
    BROKEN = "the connection breaks off"


class Watch:
    """Between one upstream body and one client. Lives in the proxy's thread."""

    def __init__(
        self,
        target: Target,
        *,
        rules: Rulebook,
        write: Callable[[bytes], Awaitable[None]],
        notify: Callable[[str, Target, str], None],
        act_on_process: Callable[[Kill], Awaitable[None]],
    ) -> None:
        self.target = target
        self._rules = rules
        self._write = write
        self._notify = notify
        self._act_on_process = act_on_process
        self._inbox: asyncio.Queue[bytes | ActiveRule | None] = asyncio.Queue()
        self._stalled_by: list[ActiveRule] = []
        self._held: list[bytes | None] = []
        self._released: set[ActiveRule] = set()

    @property
    def is_held_open(self) -> bool:
        """Whether the API server has ended it, and a rule keeps that from its client."""
        return None in self._held

    def meet(self, rule: ActiveRule) -> None:
        """Let a rule act on the watch as a whole."""
        self._inbox.put_nowait(rule)

    def release(self, rule: ActiveRule) -> None:
        """A rule is no longer in force: what it holds back is delivered."""
        self._released.add(rule)
        self._inbox.put_nowait(rule)

    async def run(self, upstream: StreamReader) -> End:
        """Hand on events until the watch ends."""
        reading = asyncio.create_task(self._read(upstream))
        try:
            while True:
                end = await self._take(await self._inbox.get())
                if end is not None:
                    return end
        finally:
            reading.cancel()

    async def _read(self, upstream: StreamReader) -> None:
        rest = b""
        try:
            async for chunk in upstream.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._inbox.put_nowait(line + b"\n")
        except OSError:  # the API server is gone, and with it the watch
            pass
        finally:
            self._inbox.put_nowait(None)

    async def _take(self, item: bytes | ActiveRule | None) -> End | None:
        if isinstance(item, bytes):
            return await self._event(item)
        if item is None:
            return self._hold(None) if self._stalled_by else End.CLEAN
        if item in self._released:
            return await self._go_on(item)
        return await self._act(item.rule.act, item, line=None)

    def _hold(self, line: bytes | None) -> None:
        self._held.append(line)

    async def _go_on(self, rule: ActiveRule) -> End | None:
        if rule not in self._stalled_by:
            return None
        self._stalled_by.remove(rule)
        while self._held and not self._stalled_by:
            line = self._held.pop(0)
            if line is None:
                return End.CLEAN
            await self._write(line)
        return None

    async def _event(self, line: bytes) -> End | None:
        event = json.loads(line)
        metadata = metadata_of(event["object"])
        target = Target(
            verb="watch",
            path=self.target.path,
            resource=self.target.resource,
            subresource=self.target.subresource,
            namespace=metadata.get("namespace", ""),
            name=metadata.get("name", ""),
        )
        self._notify(event["type"], target, metadata.get("resourceVersion", ""))
        skipped = False
        for rule in self._rules.for_event(target, event["type"]):
            skipped = skipped or isinstance(rule.rule.act, SkipEvent)
            end = await self._act(rule.rule.act, rule, line=line)
            if end is not None:
                return end
        if skipped:
            return None
        if self._stalled_by:
            return self._hold(line)
        return await self._write(line)

    async def _act(self, act: Act, rule: ActiveRule, *, line: bytes | None) -> End | None:
        match act:
            case StallWatch():
                self._stalled_by.append(rule)
            case CutWatch(half=half):
                if half:
                    await self._write(line[: len(line) // 2] if line else _HALF_A_LINE)
                return End.BROKEN
            case DropBefore() | DropAfter():
                return End.BROKEN
            case WatchError(code=code, message=message):
                error = {"type": "ERROR", "object": Status(code, message=message).document()}
                await self._write(json.dumps(error, separators=(",", ":")).encode() + b"\n")
                return End.CLEAN
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
            case Kill():
                await self._act_on_process(act)
            case Invoke(callback=callback):
                await asyncio.to_thread(callback, MetCall(target=self.target, body=line or b""))
        return None
