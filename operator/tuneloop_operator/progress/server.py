"""Receives the progress messages of the stages' pods. The sender is checked first, then the message."""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from tuneloop_api.contract.progress import MAX_BODY_BYTES, ProgressMessage, progress_path
from tuneloop_api.v1alpha1 import FineTuneJobStatus
from tuneloop_operator.errors import ClusterError
from tuneloop_operator.progress.bearer import LARGEST_NUMBER, Rejected, bearer_token
from tuneloop_operator.status.fine_tune_job.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.run_config import Stage

_LOG = logging.getLogger(__name__)
_BODY_SECONDS = 10.0
"""For the body, once the sender is known."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The sender of a message."""

    name: str
    """For the log."""
    may_report: bool
    """Whether the sender is a pod of the job that it posts for."""
    why_not: str = ""
    """The answer to a sender that may not report; empty: it is no pod of the job."""
    stage: Stage | None = None
    """The only stage that it may report; None: any."""
    attempt: int | None = None
    """The only attempt that it may report; None: any."""


class Authenticator(Protocol):
    """Finds out who holds a token."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Return who posts progress of a FineTuneJob with this token; None if the token is not valid.

        Raises `ClusterError` if the token cannot be checked now.
        """


class LocalAuthenticator:
    """One random token for all jobs of this machine, in a file that only its owner can read."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Compare in constant time, so that the time of the answer shows nothing of the token."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return Identity(name=f"local process of {namespace}/{name}", may_report=True)


class ProgressServer:
    """The HTTP application. Address and TLS are up to the caller."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        knows_job: Callable[[str, str], bool],
        on_progress: Callable[[str, str, ProgressMessage], bool],
    ) -> None:
        """knows_job and on_progress get namespace and name. on_progress returns whether the message is newer than the stored one."""
        self._authenticator = authenticator
        self._knows_job = knows_job
        self._on_progress = on_progress

    def application(self) -> web.Application:
        """Return a new application for one event loop."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(progress_path("{namespace}", "{name}"), self._post)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        try:
            who = await self._sender(request, namespace=namespace, name=name)
            message = _message(await _body(request))
            _check_subject(who, message)
        except Rejected as rejected:
            return _answer(rejected.status, error=str(rejected))
        except ClusterError as error:
            _LOG.warning("a post for %s/%s cannot be checked: %s", namespace, name, error)
            return _answer(503, error="who posts cannot be checked now")
        except web.HTTPRequestEntityTooLarge:
            return _answer(413, error=f"a message has at most {MAX_BODY_BYTES} bytes")
        except ValueError as error:
            return _answer(422, error=_one_line(error))
        if not self._on_progress(namespace, name, message):
            return _answer(202, dropped="a newer message, stage or attempt is known")
        return _answer(202)

    async def _sender(self, request: web.Request, *, namespace: str, name: str) -> Identity:
        token = bearer_token(request)
        who = await self._authenticator.authenticate(token, namespace=namespace, name=name) if token else None
        if who is None:
            raise Rejected(401, "no valid bearer token")
        if not who.may_report:
            raise Rejected(403, who.why_not or f"{who.name} is no pod of FineTuneJob {namespace}/{name}")
        if not self._knows_job(namespace, name):
            raise Rejected(404, f"there is no FineTuneJob {namespace}/{name}")
        return who


async def _body(request: web.Request) -> bytes:
    """Return the body. Raises Rejected if it does not come in time."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Rejected(408, f"the message did not come within {_BODY_SECONDS:g} s") from None


def _check_subject(who: Identity, message: ProgressMessage) -> None:
    """Raise Rejected if the message is of another stage or attempt than its sender."""
    if who.stage not in {None, message.stage} or who.attempt not in {None, message.attempt}:
        raise Rejected(
            403,
            f"{who.name} is of {who.stage}, attempt {who.attempt}; the message is of {message.stage}, attempt {message.attempt}",
        )


def _message(body: bytes) -> ProgressMessage:
    """Return the message. Raises ValueError if the body is no valid message."""
    message = ProgressMessage.model_validate_json(body)
    if datetime.fromisoformat(message.sent_at).tzinfo is None:
        raise ValueError(f"sentAt: {message.sent_at} has no time zone; for example 2026-01-31T12:00:00Z")
    for name in ("sequence", "attempt", "step", "total_steps", "start_step", "eta_seconds"):
        if abs(getattr(message, name) or 0) > LARGEST_NUMBER:
            raise ValueError(f"{to_camel(name)}: {getattr(message, name)} is too large")
    # a message that does not fit into a status is rejected here: stored, it would make every later decision on the job fail
    with_progress(FineTuneJobStatus(attempt=message.attempt), message, stage=message.stage)
    return message


def _one_line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'message'}: {first['msg']}"


def _answer(status: int, **body: str) -> web.Response:
    return web.json_response(body, status=status)
