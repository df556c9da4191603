"""One request to the API server: JSON out, JSON in, or an error of ours.

This module holds what all requests share: credentials, time-outs, the fence (only the leader writes), `Retry-After`, and a count of the
requests. `api_server` holds the requests themselves.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from tuneloop_operator.cluster.connection import authorization, renew_token
from tuneloop_operator.cluster.server_clock import ServerClock
from tuneloop_operator.cluster.translate import error_of, no_answer
from tuneloop_operator.errors import ClusterUnavailable, NotLeading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_USER_AGENT = "tuneloop-operator"
_READS = {"get", "list"}
_PAUSES_SECONDS = (0.05, 0.2)
"""Pauses before a request is repeated. There are few, because a reconciliation makes several requests: with many repeats of each, it would
hardly end while the API server often fails."""
_LONGEST_STAY_SECONDS = 2.0
"""A longer wait that the API server asks for is left to the work queue."""


class Call(NamedTuple):
    """One request, for metrics."""

    verb: str
    """As in RBAC: get, list, create, patch, update, delete."""
    resource: str
    """Plural, with the subresource: `finetunejobs/status`."""
    code: int
    """0: no answer."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request."""

    verb: str
    resource: str
    path: str
    query: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    fenced: bool = False
    """Whether only a leader may send it."""
    urgent: bool = False
    """Whether it is sent even while the API server asks to wait, because leadership depends on it."""
    plain: bool = False
    """Whether the answer is text, not JSON."""


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


class Transport:
    """Sends requests over kept connections."""

    def __init__(
        self,
        configuration: Any,
        *,
        environ: Mapping[str, str],
        may_write: Callable[[], bool],
        on_call: Callable[[Call], None],
        request_timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # else each request waits for a thread that reads ~/.netrc
        configuration.client_session_kwargs = {"trust_env": False}
        self._configuration = configuration
        self._environ = environ
        self._client = ApiClient(configuration)
        self._may_write = may_write
        self._on_call = on_call
        self._timeouts = {False: request_timeout_seconds, True: request_timeout_seconds / 2}
        """Time-outs, by whether a request is a write. A leader may write for 10 s after its last renewal of a Lease of 15 s. A write that starts in the last
        moment must end before another operator may lead."""
        self._clock = clock
        self._not_before = 0.0
        self.server_clock = ServerClock()
        """The API server's time, by its answers."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def send(self, request: Request) -> Any:
        """Return the decoded answer. Raises the errors of `translate`, and NotLeading."""
        pauses = iter(_pauses(request))
        while True:
            code, body, retry_after = await self._answer(request)
            if 200 <= code < 300:
                return body.decode(errors="replace") if request.plain else _decoded(body)
            error = self._error(code, body, retry_after)
            pause = next(pauses, None)
            if pause is None or not _may_be_repeated(code, retry_after):
                raise error
            await asyncio.sleep(pause)

    async def _answer(self, request: Request) -> tuple[int, bytes, str | None]:
        """Return status, body and Retry-After. Raises ClusterUnavailable without an answer, and NotLeading."""
        if (wait := self._not_before - self._clock()) > 0 and not request.urgent:
            if wait > _LONGEST_STAY_SECONDS:
                raise ClusterUnavailable("the API server asked to wait", retry_after=wait)
            await asyncio.sleep(wait)
        headers = await self._headers(request)
        if request.fenced and not self._may_write():
            raise NotLeading(f"{request.verb} {request.path} was not sent: another operator may lead")
        started = self._clock()
        code = 0
        try:
            code, body, retry_after = await self._exchange(request, headers)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise no_answer(error) from error
        finally:
            self._on_call(Call(request.verb, request.resource, code, self._clock() - started))
        if code == 401:
            await renew_token(self._configuration, self._environ)
        return code, body, retry_after

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": request.accept, "User-Agent": _USER_AGENT, "Content-Type": request.content_type}
        return headers | await authorization(self._configuration)

    async def _exchange(self, request: Request, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
        query = dict(request.query or {})
        seconds = self._timeouts[request.verb not in _READS]
        url = f"{self._configuration.host}{request.path}{'?' if query else ''}{urlencode(query)}"
        sent = self.server_clock.elapsed
        answer = await self._client.call_api(
            _METHODS[request.verb],
            url,
            header_params=headers,
            body=request.body,
            _request_timeout=aiohttp.ClientTimeout(total=seconds),
        )
        if answer.status < 300:  # an error may be the answer of something else on the way
            self.server_clock.answered(answer.headers.get("Date"), sent=sent)
        return answer.status, await answer.read(), answer.headers.get("Retry-After")

    def _error(self, code: int, body: bytes, retry_after: str | None) -> Exception:
        try:
            decoded = json.loads(body)
        except ValueError:
            decoded = None
        error = error_of(code, decoded, retry_after=retry_after)
        if code == 429 and isinstance(error, ClusterUnavailable):
            self._not_before = max(self._not_before, self._clock() + error.retry_after)
        return error


def _pauses(request: Request) -> tuple[float, ...]:
    return () if request.urgent or request.plain else _PAUSES_SECONDS


def _may_be_repeated(code: int, retry_after: str | None) -> bool:
    """Whether to repeat a request: after too many requests, or an error of the server. All our writes are safe to repeat."""
    return code == 429 or (code >= 500 and retry_after is None)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ClusterUnavailable(f"the API server's answer is no JSON ({len(body)} bytes)") from error
