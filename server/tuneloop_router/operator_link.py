"""The long poll to the operator: the request says what is in force, the answer what is wanted.

    GET URL?inForce=12&hold=20                                   → 200 and a split, or 304 after at most `hold` seconds
    GET URL?inForce=12&hold=20&refused=13&reason=…               the router did not take generation 13 (0: no generation could be read)
    GET URL?inForce=12&hold=20&requests=reviews-7d1f:5,reviews-03ab:95    what each revision has answered since generation 12 was in force here

The operator answers 200 as soon as it has a generation beyond both numbers.
"""

from __future__ import annotations

import http.client
import re
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tuneloop_router.errors import Unreachable
from tuneloop_router.fields import LARGEST_DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from tuneloop_router.settings import Operator

HOLD_SECONDS = 20
_SECONDS_BEYOND_HOLD = 10
_LONGEST_REASON = 1024
"""Characters. Encoded, each has up to three bytes, and the operator takes lines of 8 KiB."""
_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)


@dataclass(frozen=True)
class Refusal:
    """A generation that was not taken."""

    generation: int
    reason: str


def ask(
    operator: Operator, *, in_force: int, refusal: Refusal | None, answered: Mapping[str, int] | None = None
) -> bytes | None:
    """Return the document that the operator wants to be used; None if there is nothing new. Raises Unreachable.

    answered: requests by revision; None: not known.
    """
    try:
        return _get(operator, query_of(in_force=in_force, refusal=refusal, answered=answered))
    except (OSError, http.client.HTTPException) as error:  # an error of TLS is an OSError
        raise Unreachable(f"{operator.url}: {error or type(error).__name__}") from error


def query_of(*, in_force: int, refusal: Refusal | None, answered: Mapping[str, int] | None) -> str:
    """Return the query of a poll. An operator ignores the fields that it does not know."""
    query: dict[str, int | str] = {"inForce": in_force, "hold": HOLD_SECONDS}
    if answered:
        query["requests"] = ",".join(f"{revision}:{count}" for revision, count in answered.items())
    if refusal is not None:
        query |= {"refused": refusal.generation, "reason": ascii(refusal.reason)[1:-1][:_LONGEST_REASON]}
    return urlencode(query)


def _get(operator: Operator, query: str) -> bytes | None:
    url = urlsplit(operator.url)
    with closing(_connection(operator, url)) as connection:
        connection.request("GET", f"{url.path or '/'}?{query}", headers={"authorization": f"Bearer {_token(operator)}"})
        answer = connection.getresponse()
        body = answer.read(LARGEST_DOCUMENT + 1)
        if answer.status == http.client.NOT_MODIFIED:
            return None
        if answer.status != http.client.OK:
            raise Unreachable(f"{operator.url}: the operator answers {answer.status}")
        return body


def _connection(operator: Operator, url: SplitResult) -> http.client.HTTPConnection:
    host, seconds = url.hostname or "", HOLD_SECONDS + _SECONDS_BEYOND_HOLD
    if operator.ca_path is None:
        return http.client.HTTPConnection(host, url.port, timeout=seconds)
    trusted = ssl.create_default_context(cafile=operator.ca_path)  # checks the name, too
    return http.client.HTTPSConnection(host, url.port, timeout=seconds, context=trusted)


def _token(operator: Operator) -> str:
    token = Path(operator.token_path).read_text(encoding="ascii", errors="replace").strip()
    if not _TOKEN.fullmatch(token):  # an error of http.client would show it
        raise Unreachable(f"{operator.token_path}: holds no token of one line")
    return token
