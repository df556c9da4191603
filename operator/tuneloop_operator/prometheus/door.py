"""Asks Prometheus: the only I/O of this package. Whatever happens on the way is an answer without a number, never an exception."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import aiohttp

from tuneloop_operator.prometheus.address import EXAMPLE, checked_address, may_get_token
from tuneloop_operator.prometheus.answer import MOST_BYTES, Answer, Reply, Unanswered, answer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from tuneloop_operator.prometheus.query import PromQL

SECONDS = 10.0
"""For a query in all: the wait for its turn, name, connection, TLS, answer."""
MOST_QUERIES = 8
"""At the same time. Prometheus runs 20 by default, and dashboards ask, too."""
_TOKEN = re.compile(rb"[\x21-\x7e]{8,65536}")
_NOT_SET = Unanswered(
    verdict="NoData", reason=f"no Prometheus is set: the operator needs TUNELOOP_PROMETHEUS_URL, for example {EXAMPLE}"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where Prometheus is, and what it is asked with."""

    address: str
    token_file: Path | None = None
    """Its content is sent as a bearer token. It is read again for each query, because such tokens are valid for minutes."""
    ca_file: Path | None = None
    """PEM text of the authorities to trust; None: those of the machine. A changed file is read again."""

    def __post_init__(self) -> None:
        checked_address(self.address)
        if self.token_file is not None and not may_get_token(self.address):
            raise ValueError(f"a token is sent over https or to loopback only, not to {self.address}")


class PrometheusDoor:
    """Sends instant queries, as an async context manager."""

    def __init__(
        self, place: Place | None, *, seconds: float = SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        """`place`: None answers each query with NoData; `clock`: Unix seconds."""
        self._place = place
        self._seconds = seconds
        self._clock = clock
        self._turns = asyncio.Semaphore(MOST_QUERIES)
        self._authorities = _Authorities(place)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the connections' pool; nothing is sent."""
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                trust_env=False,  # no proxy and no netrc of the environment
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small body could become a huge one
                timeout=aiohttp.ClientTimeout(total=None),  # `ask` has one for all
            )
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def ask(self, query: PromQL) -> Answer:
        """Return the number, or why there is none in a sentence that names the address."""
        if self._place is None:
            return _NOT_SET
        answer = await self._answer(self._place, query)
        if isinstance(answer, Unanswered):
            return Unanswered(verdict=answer.verdict, reason=f"Prometheus at {self._place.address}: {answer.reason}")
        return answer

    async def _answer(self, place: Place, query: PromQL) -> Answer:
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                asked = self._clock()
                reply = await self._exchange(place, query)
                return answer_of(reply, asked=asked, answered=self._clock())
        except TimeoutError:
            return _failed(f"no answer within {self._seconds:g} s")
        except _Failed as failed:
            return _failed(str(failed))
        except aiohttp.ClientConnectorCertificateError as error:
            return _failed(f"its certificate is not trusted ({_cause(error.certificate_error)})")
        except aiohttp.ClientConnectorError as error:
            return _failed(f"no connection ({_cause(error.os_error)})")
        except (aiohttp.ClientError, OSError) as error:
            return _failed(f"the connection ended before the answer, or the answer is no HTTP ({type(error).__name__})")

    async def _exchange(self, place: Place, query: PromQL) -> Reply:
        """Return the reply. Raises _Failed, and what aiohttp raises."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tuneloop-operator"}
        token = None if place.token_file is None else await asyncio.to_thread(_token, place.token_file)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.post(
            f"{place.address.removesuffix('/')}/api/v1/query",
            data={"query": query, "timeout": f"{self._seconds:g}"},
            headers=headers,
            allow_redirects=False,  # the token, and what is asked, is for this address
            ssl=await asyncio.to_thread(self._authorities.context),
        ) as response:
            if 300 <= response.status < 400:
                raise _Failed(f"HTTP {response.status}, a redirect, which is not followed: give the final address")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise _Failed("the answer is compressed, which was not asked for")
            body = await _read(response.content, most=MOST_BYTES + 1)
            content_type = response.headers.get("Content-Type", "")
            if token is not None and (token.encode() in body or token in content_type):
                raise _Failed(f"HTTP {response.status} with an answer that repeats the token, and is not shown")
            return Reply(status=response.status, content_type=content_type, body=body)


class _Failed(Exception):  # noqa: N818  (named as the state that it reports)
    """There is no reply. The message is the reason."""


class _Authorities:
    """The certificates to trust, as they are now."""

    def __init__(self, place: Place | None) -> None:
        self._is_needed = place is not None and place.address.startswith("https:")
        self._path = place.ca_file if place is not None else None
        self._state: tuple[int, int, int] | None = None
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext | bool:
        """Return the same context as long as the file is the same, so that connections are kept; True without TLS. Blocks. Raises _Failed."""
        if not self._is_needed:
            return True
        try:
            with self._lock:  # to read the authorities of a machine takes a tenth of a second
                state = None if self._path is None else _state_of(self._path)
                if self._context is None or state != self._state:
                    self._context = ssl.create_default_context(cafile=self._path)
                    self._state = state
                return self._context
        except (OSError, ssl.SSLError) as error:
            raise _Failed(f"the file of authorities {self._path} cannot be used ({_cause(error)})") from error


def _state_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _token(path: Path) -> str:
    """Return the token of a file. Raises _Failed, without the file's content."""
    try:
        with path.open("rb") as file:
            token = file.read(65537).strip()
    except OSError as error:
        raise _Failed(f"the file with the token {path} cannot be read ({_cause(error)})") from error
    if not _TOKEN.fullmatch(token):
        raise _Failed(f"the file with the token {path} holds no token: one line of 8 or more visible ASCII characters")
    return token.decode()


async def _read(content: aiohttp.StreamReader, *, most: int) -> bytes:
    """Return the body, or its first `most` bytes."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])


def _failed(reason: str) -> Unanswered:
    return Unanswered(verdict="Error", reason=reason)


def _cause(error: Exception) -> str:
    """Return what the system says of an error, without aiohttp's words around it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
