"""Asks Prometheus: the only I/O of this package. Whatever happens on the way is an answer without a number, never an exception."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp

from tuneloop_operator.guarded_http import (
    GuardedSession,
    UnusableAnswerError,
    cause_of,
    check_encoding,
    read_at_most,
    reason_of,
)
from tuneloop_operator.prometheus.address import EXAMPLE, checked_address, may_get_token
from tuneloop_operator.prometheus.answer import (
    MOST_BYTES,
    Answer,
    Reply,
    Unanswered,
    VectorAnswer,
    answer_of,
    vector_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneloop_operator.prometheus.query import PromQL

SECONDS = 10.0
"""For a query in all: the wait for its turn, name, connection, TLS, answer."""
MOST_QUERIES = 8
"""At the same time. Prometheus runs 20 by default, and dashboards ask, too."""
_Found = TypeVar("_Found")
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
        self._session = GuardedSession()

    async def __aenter__(self) -> Self:
        """Make the connections' pool; nothing is sent."""
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Close the connections."""
        await self._session.__aexit__(*failure)

    async def ask(self, query: PromQL) -> Answer:
        """Return the number, or why there is none in a sentence that names the address."""
        return await self._asked(query, answer_of)

    async def ask_vector(self, query: PromQL) -> VectorAnswer:
        """Return the numbers of all series, or why there are none in a sentence that names the address."""
        return await self._asked(query, vector_of)

    async def _asked(self, query: PromQL, read: Callable[..., _Found | Unanswered]) -> _Found | Unanswered:
        if self._place is None:
            return _NOT_SET
        answer = await self._answer(self._place, query, read)
        if isinstance(answer, Unanswered):
            return Unanswered(verdict=answer.verdict, reason=f"Prometheus at {self._place.address}: {answer.reason}")
        return answer

    async def _answer(
        self, place: Place, query: PromQL, read: Callable[..., _Found | Unanswered]
    ) -> _Found | Unanswered:
        try:
            async with asyncio.timeout(self._seconds), self._turns:
                asked = self._clock()
                reply = await self._exchange(place, query)
                return read(reply, asked=asked, answered=self._clock())
        except TimeoutError:
            return _failed(f"no answer within {self._seconds:g} s")
        except (UnusableAnswerError, aiohttp.ClientError, OSError) as error:
            return _failed(reason_of(error))

    async def _exchange(self, place: Place, query: PromQL) -> Reply:
        """Return the reply. Raises UnusableAnswerError, and what aiohttp raises."""
        token = None if place.token_file is None else await asyncio.to_thread(_token, place.token_file)
        async with self._session.request(
            "POST",
            f"{place.address.removesuffix('/')}/api/v1/query",
            data={"query": query, "timeout": f"{self._seconds:g}"},
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            ssl=await asyncio.to_thread(self._authorities.context),
        ) as response:
            if 300 <= response.status < 400:
                raise UnusableAnswerError(
                    f"HTTP {response.status}, a redirect, which is not followed: give the final address"
                )
            check_encoding(response)
            body = await read_at_most(response.content, MOST_BYTES + 1)
            content_type = response.headers.get("Content-Type", "")
            if token is not None and (token.encode() in body or token in content_type):
                raise UnusableAnswerError(
                    f"HTTP {response.status} with an answer that repeats the token, and is not shown"
                )
            return Reply(status=response.status, content_type=content_type, body=body)


class _Authorities:
    """The certificates to trust, as they are now."""

    def __init__(self, place: Place | None) -> None:
        self._is_needed = place is not None and place.address.startswith("https:")
        self._path = place.ca_file if place is not None else None
        self._state: tuple[int, int, int] | None = None
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext | bool:
        """Return the same context as long as the file is the same, so that connections are kept; True without TLS. Blocks. Raises UnusableAnswerError."""
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
            raise UnusableAnswerError(
                f"the file of authorities {self._path} cannot be used ({cause_of(error)})"
            ) from error


def _state_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _token(path: Path) -> str:
    """Return the token of a file. Raises UnusableAnswerError, without the file's content."""
    try:
        with path.open("rb") as file:
            token = file.read(65537).strip()
    except OSError as error:
        raise UnusableAnswerError(f"the file with the token {path} cannot be read ({cause_of(error)})") from error
    if not _TOKEN.fullmatch(token):
        raise UnusableAnswerError(
            f"the file with the token {path} holds no token: one line of 8 or more visible ASCII characters"
        )
    return token.decode()


def _failed(reason: str) -> Unanswered:
    return Unanswered(verdict="Error", reason=reason)
