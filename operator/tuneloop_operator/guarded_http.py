"""HTTP to addresses where anything may stand: no proxy, no cookies, no redirects, nothing compressed, and a bounded body."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tuneloop-operator"}


class UnusableAnswerError(Exception):
    """There is no answer that can be used. The message is the reason."""


class GuardedSession:
    """A pool of connections, as an async context manager. It has no time limit: the caller has one for all of an exchange."""

    async def __aenter__(self) -> Self:
        """Make the pool; nothing is sent."""
        self._session = aiohttp.ClientSession(
            trust_env=False,  # no proxy and no netrc of the environment
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small body could become a huge one
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._session.close()

    def request(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request; `options` are those of aiohttp."""
        return self._session.request(
            method,
            url,
            headers=_HEADERS | (headers or {}),
            allow_redirects=False,  # what is sent is for this address
            **options,
        )


def check_encoding(response: aiohttp.ClientResponse) -> None:
    """Raise UnusableAnswerError for a compressed body."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnusableAnswerError("the answer is compressed, which was not asked for")


async def read_at_most(content: aiohttp.StreamReader, count: int) -> bytes:
    """Return the body, or its first `count` bytes."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) >= count:
            break
    return bytes(body[:count])


def reason_of(error: Exception) -> str:
    """Return why there is no answer, in words that quote nothing of it."""
    match error:
        case UnusableAnswerError():
            return str(error)
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted ({cause_of(error.certificate_error)})"
        case aiohttp.ClientConnectorError():
            return f"no connection ({cause_of(error.os_error)})"
    return f"the connection ended before the answer, or the answer is no HTTP ({type(error).__name__})"


def cause_of(error: Exception) -> str:
    """Return what the system says of an error, without aiohttp's words around it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
