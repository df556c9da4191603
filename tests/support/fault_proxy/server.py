"""Passes requests on to the API server and applies the rules to them. Everything here runs in the proxy's event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from fault_proxy.answers import Answer, Asked, decoded, delivered, made_up, passed_on, version_in, with_later_date
from fault_proxy.calls import Call, Notification, Target, metadata_of, target_of
from fault_proxy.peer import pid_of_peer
from fault_proxy.rulebook import Rulebook
from fault_proxy.rules import Delay, DropAfter, DropBefore, Invoke, Kill, MetCall, ShiftDate, Status
from fault_proxy.watches import End, Watch

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp import ClientResponse

    from fault_proxy.rulebook import ActiveRule

_BODY_BYTES = 32 * 1024 * 1024
_KEEP_ALIVE_SECONDS = 600.0


class ProxyServer:
    """Handles one request after the other, many at a time."""

    def __init__(
        self,
        upstream: str,
        *,
        tls: ssl.SSLContext,
        record: Callable[[Call], None],
        notify: Callable[[Notification], None],
    ) -> None:
        self.rules = Rulebook()
        self.watches: list[Watch] = []
        self.port = 0
        self._upstream = upstream
        self._record = record
        self._notify = notify
        self._numbers = count(1)
        self._started = time.monotonic()
        self._running_calls: set[asyncio.Task[Answer | None]] = set()
        self._session = ClientSession(
            connector=TCPConnector(ssl=tls, limit=0),
            timeout=ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    async def start(self, *, tls: ssl.SSLContext) -> None:
        """Listen on a free port of loopback."""
        server = web.Server(
            self._handle,
            request_factory=self._request,
            handler_cancellation=True,  # else a silent watch would outlive its client
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        for task in self._running_calls:
            task.cancel()
        await self._runner.cleanup()
        await self._session.close()

    @staticmethod
    def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_BYTES)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        n, at = next(self._numbers), time.monotonic() - self._started
        asked = await self._read(request, n=n, at=at)
        rules = self.rules.for_call(asked.target)
        if asked.target.verb == "watch":
            return await self._watch(request, asked, rules)
        # a client that goes away does not take back what it has sent
        work = asyncio.create_task(self._call(asked, rules))
        self._running_calls.add(work)
        work.add_done_callback(self._running_calls.discard)
        return delivered(request, await asyncio.shield(work))

    async def _read(self, request: web.BaseRequest, *, n: int, at: float) -> Asked:
        body = await request.read()
        content_type = request.headers.get("Content-Type", "")
        document = decoded(body)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return Asked(
            n=n,
            at=at,
            target=target_of(request.method, request.path, request.query, content_type=content_type, document=document),
            method=request.method,
            url=self._upstream + request.raw_path,
            headers=passed_on(request.headers),
            body=body,
            document=document,
            peer_port=peer[1] if peer else 0,
        )

    async def _call(self, asked: Asked, rules: list[ActiveRule]) -> Answer | None:
        """Return the answer to a call, after all that the rules do to it; None: the connection is closed."""
        acts = [rule.rule.act for rule in rules]
        faults = tuple(act.kind for act in acts)
        answer, is_over = await self._before(asked, acts)
        if is_over:
            self._note(asked, answer, faults=faults, sent=False)
            return answer
        try:
            async with self._send(asked) as reply:
                answer = Answer(code=reply.status, headers=passed_on(reply.headers), body=await reply.read())
        except (ClientError, OSError):
            self._note(asked, None, faults=faults, sent=False)
            return None
        self._note(asked, answer, faults=faults, sent=True)
        return await self._after(asked, acts, answer)

    async def _before(self, asked: Asked, acts: list[Any]) -> tuple[Answer | None, bool]:
        """Do what comes before the call is sent; return what is answered instead, and whether something is."""
        for act in acts:
            match act:
                case Delay(after=False):
                    await asyncio.sleep(act.seconds)
                case Status():
                    return made_up(act), True
                case DropBefore():
                    return None, True
                case Invoke(after=False):
                    replacement = await asyncio.to_thread(act.callback, MetCall(target=asked.target, body=asked.body))
                    if replacement is not None:
                        return made_up(replacement), True
        return None, False

    async def _after(self, asked: Asked, acts: list[Any], answer: Answer) -> Answer | None:
        """Do what comes before the answer is delivered; return the answer, or None if it is lost."""
        for act in acts:
            match act:
                case Delay(after=True):
                    await asyncio.sleep(act.seconds)
                case DropAfter():
                    return None
                case ShiftDate(seconds=seconds):
                    answer = with_later_date(answer, seconds=seconds)
                case Kill():
                    await self._signal(act, peer_port=asked.peer_port)
                    if act.signal == signal.SIGKILL:
                        return None
                case Invoke(after=True):
                    original = Status(answer.code, body=decoded(answer.body))
                    met = MetCall(target=asked.target, body=asked.body, answer=original)
                    replacement = await asyncio.to_thread(act.callback, met)
                    answer = made_up(replacement) if replacement is not None else answer
        return answer

    async def _watch(self, request: web.BaseRequest, asked: Asked, rules: list[ActiveRule]) -> web.StreamResponse:
        acts = [rule.rule.act for rule in rules]
        faults = tuple(act.kind for act in acts)
        answer, is_over = await self._before(asked, acts)
        if is_over:
            self._note(asked, answer, faults=faults, sent=False)
            return delivered(request, answer)
        try:
            reply = await self._send(asked)
        except (ClientError, OSError):
            self._note(asked, None, faults=faults, sent=False)
            return delivered(request, None)
        async with reply:
            begun = Answer(code=reply.status, headers=passed_on(reply.headers), body=b"")
            self._note(asked, begun, faults=faults, sent=True)
            if await self._after(asked, acts, begun) is None:
                return delivered(request, None)
            if reply.status != 200:
                return delivered(request, replace(begun, body=await reply.read()))
            return await self._stream(request, asked, reply)

    async def _stream(self, request: web.BaseRequest, asked: Asked, reply: ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(headers=passed_on(reply.headers))
        response.enable_chunked_encoding()
        watch = Watch(
            asked.target,
            rules=self.rules,
            write=response.write,
            notify=lambda kind, target, version: self._event(asked.n, kind, target, version),
            act_on_process=lambda kill: self._signal(kill, peer_port=asked.peer_port),
        )
        self.watches.append(watch)  # before the client knows of it: a rule that is added then has to meet it
        try:
            for rule in self.rules.for_watch(asked.target):
                watch.meet(rule)
            await response.prepare(request)
            if await watch.run(reply.content) is End.BROKEN:
                return delivered(request, None)
            await response.write_eof()
        except ConnectionError:  # the client is gone
            pass
        finally:
            self.watches.remove(watch)
        return response

    def _send(self, asked: Asked) -> Any:
        url = URL(asked.url, encoded=True)
        return self._session.request(asked.method, url, headers=asked.headers, data=asked.body or None)

    async def _signal(self, act: Kill, *, peer_port: int) -> None:
        pid = act.pid or await asyncio.to_thread(pid_of_peer, peer_port=peer_port, own_port=self.port)
        if pid is not None and pid != os.getpid():
            os.kill(pid, act.signal)

    def _event(self, call: int, kind: str, target: Target, version: str) -> None:
        self._notify(
            Notification(
                call=call,
                at=time.monotonic() - self._started,
                type=kind,
                resource=target.resource,
                namespace=target.namespace,
                name=target.name,
                version=version,
            )
        )

    def _note(self, asked: Asked, answer: Answer | None, *, faults: tuple[str, ...], sent: bool) -> None:
        target, stored = asked.target, metadata_of(decoded(answer.body)) if answer else {}
        is_stored = target.verb == "create" and not target.subresource and sent
        self._record(
            Call(
                n=asked.n,
                at=round(asked.at, 6),
                verb=target.verb,
                resource=target.resource,
                subresource=target.subresource,
                namespace=target.namespace,
                name=(stored.get("name") or target.name) if is_stored else target.name,
                code=answer.code if answer else 0,
                seconds=round(time.monotonic() - self._started - asked.at, 6),
                request_bytes=len(asked.body),
                version_in=version_in(asked),
                version_out=str(stored.get("resourceVersion") or ""),
                path=target.path,
                sent=sent,
                faults=faults,
            )
        )
