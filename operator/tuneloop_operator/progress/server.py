"""Takes the progress posts of the stages' pods: who posts is checked first, then what."""

from __future__ import annotations

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
from tuneloop_operator.status.fine_tune_job.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.run_config import Stage

_LOG = logging.getLogger(__name__)
_BEARER = "Bearer "
_LARGEST = 2**53
"""Largest whole number that every JSON reader keeps exact."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who posts."""

    name: str
    """For the log."""
    may_report: bool
    """Whether it is a pod of the job that it posts for."""
    why_not: str = ""
    """What it is told if it may not and this is not because it is a stranger."""
    stage: Stage | None = None
    """The only one that it may speak of; None: any."""
    attempt: int | None = None
    """The only one that it may speak of; None: any."""


class Authenticator(Protocol):
    """Tells who holds a token."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Return who posts progress of a FineTuneJob with this token; None if the token is not good.

        Raises `ClusterError` if nobody can say now.
        """


class LocalAuthenticator:
    """One random token for all jobs of this machine; it lies in a file that only its owner can read."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def authenticate(self, token: str, *, namespace: str, name: str) -> Identity | None:
        """Compare in constant time, so that the answer's delay tells nothing about the token."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return Identity(name=f"local process of {namespace}/{name}", may_report=True)


class ProgressServer:
    """The HTTP application; who serves it chooses address and TLS."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        knows_job: Callable[[str, str], bool],
        on_progress: Callable[[str, str, ProgressMessage], bool],
    ) -> None:
        """`knows_job` and `on_progress` get namespace and name; `on_progress` returns whether the message was news."""
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
            message = _message(await request.read())
            _check_subject(who, message)
        except _Refused as refused:
            return _answer(refused.status, error=str(refused))
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
        header = request.headers.get("Authorization", "")
        token = header.removeprefix(_BEARER) if header.startswith(_BEARER) else ""
        who = await self._authenticator.authenticate(token, namespace=namespace, name=name) if token else None
        if who is None:
            raise _Refused(401, "no valid bearer token")
        if not who.may_report:
            raise _Refused(403, who.why_not or f"{who.name} is no pod of FineTuneJob {namespace}/{name}")
        if not self._knows_job(namespace, name):
            raise _Refused(404, f"there is no FineTuneJob {namespace}/{name}")
        return who


class _Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A post that is not taken."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _check_subject(who: Identity, message: ProgressMessage) -> None:
    """Raise _Refused for a message of another stage or attempt than the sender's."""
    if who.stage not in {None, message.stage} or who.attempt not in {None, message.attempt}:
        raise _Refused(
            403,
            f"{who.name} is of {who.stage}, attempt {who.attempt}; the message is of {message.stage}, attempt {message.attempt}",
        )


def _message(body: bytes) -> ProgressMessage:
    """Return the message. Raises ValueError if it is none."""
    message = ProgressMessage.model_validate_json(body)
    if datetime.fromisoformat(message.sent_at).tzinfo is None:
        raise ValueError(f"sentAt: {message.sent_at} has no time zone; for example 2026-01-31T12:00:00Z")
    for name in ("sequence", "attempt", "step", "total_steps", "start_step", "eta_seconds"):
        if abs(getattr(message, name) or 0) > _LARGEST:
            raise ValueError(f"{to_camel(name)}: {getattr(message, name)} is too large")
    # what no status can hold must be refused here: kept, it would make every later decision on the job fail
    with_progress(FineTuneJobStatus(attempt=message.attempt), message, stage=message.stage)
    return message


def _one_line(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'message'}: {first['msg']}"


def _answer(status: int, **body: str) -> web.Response:
    return web.json_response(body, status=status)
