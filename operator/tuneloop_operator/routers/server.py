"""Answers the long polls of routers: who asks is checked first; then what the router reports is noted, and the split is given to it once it is newer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tuneloop_api.contract.router import CANARY_HOLD_SECONDS, LONGEST_HOLD_SECONDS, split_path
from tuneloop_operator.errors import ClusterError
from tuneloop_operator.progress.bearer import Rejected, bearer_token
from tuneloop_operator.routers.polls import Polls
from tuneloop_operator.routers.question import question_of
from tuneloop_operator.serving import ServingLimits
from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_operator.routers.polls import Poll
    from tuneloop_operator.routers.question import Question

_LOG = logging.getLogger(__name__)
_MOST_POLLS = 512
"""Of one namespace half of it, so that no tenant keeps the others waiting. Routers beyond ask again every few seconds."""
ROUTER_LIMITS = ServingLimits(connections=640, address_connections=128)
"""A poll holds its connection; beside all polls there is room for those who are still to say who they are. A node has 110 pods, which may share its address."""


@dataclass(frozen=True, kw_only=True)
class RouterIdentity:
    """Who asks."""

    name: str
    """Of its pod."""
    may_ask: bool
    """Whether it is a router of the deployment that it asks for."""


class RouterAuthenticator(Protocol):
    """Finds out who holds a token."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> RouterIdentity | None:
        """Return who asks for the split of a ModelDeployment with this token; None if the token is not valid.

        Raises `ClusterError` if the token cannot be checked now.
        """


class RouterServer:
    """The HTTP application. Address and TLS are up to the caller."""

    def __init__(
        self,
        *,
        authenticator: RouterAuthenticator,
        split_of: Callable[[str, str], RouterSplit | None],
        on_report: Callable[[str, str, RouterReport], None],
        may_answer: Callable[[], bool] = lambda: True,
        most_polls: int = _MOST_POLLS,
    ) -> None:
        """split_of and on_report get namespace and name. split_of returns None for a deployment that is not there or has no routers.

        may_answer: whether this process knows what routers are to follow. Otherwise each poll is answered 503, which changes nothing for a
        router: a 404 would say that there is no split, and a split might be an old one.
        """
        self._authenticator = authenticator
        self._split_of = split_of
        self._on_report = on_report
        self._may_answer = may_answer
        self._polls = Polls(most=most_polls, most_of_namespace=max(most_polls // 2, 1))

    def application(self) -> web.Application:
        """Return a new application for one event loop."""
        app = web.Application(client_max_size=0)
        app.router.add_get(split_path("{namespace}", "{name}"), self._get)
        return app

    def changed(self, namespace: str, name: str) -> None:
        """Let the routers of a deployment have its split, if it is a newer one."""
        self._polls.wake((namespace, name))

    def look_again(self) -> None:
        """Let all polls see whether this process may still answer."""
        self._polls.wake_all()

    @property
    def waiting(self) -> int:
        """How many polls wait."""
        return self._polls.count

    async def _get(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        try:
            self._check_may_answer()
            router = await self._router(request, namespace=namespace, name=name)
            question = question_of(request.query)
            self._current(namespace, name)
            self._note(namespace, name, router, question)
            split = await self._newer_split(namespace, name, router, question)
        except Rejected as rejected:
            return web.json_response({"error": str(rejected)}, status=rejected.status)
        except ClusterError as error:
            _LOG.warning("the poll of a router of %s/%s cannot be checked: %s", namespace, name, error)
            return web.json_response({"error": "who asks cannot be checked now"}, status=503)
        return web.Response(status=304) if split is None else web.json_response(split.to_wire())

    async def _router(self, request: web.Request, *, namespace: str, name: str) -> str:
        token = bearer_token(request)
        who = await self._authenticator.authenticate(token, namespace=namespace, name=name) if token else None
        if who is None:
            raise Rejected(401, "no valid bearer token")
        if not who.may_ask:
            raise Rejected(403, f"{who.name} is no router of ModelDeployment {namespace}/{name}")
        return who.name

    def _note(self, namespace: str, name: str, router: str, question: Question) -> None:
        own = f"{name}-"
        report = RouterReport(
            router=router,
            in_force=question.in_force,
            refused=question.refused,
            reason=question.reason,
            requests=tuple(
                (revision.removeprefix(own), count) for revision, count in question.requests if revision.startswith(own)
            ),
        )
        self._on_report(namespace, name, report)

    async def _newer_split(self, namespace: str, name: str, router: str, question: Question) -> RouterSplit | None:
        """Return the split once it is newer than what the router knows; None if it is not within the time that the router waits."""
        begun = asyncio.get_running_loop().time()
        with self._polls.waiting((namespace, name), router) as poll:
            while (split := self._current(namespace, name)).generation <= question.newest:
                if poll is None:
                    raise Rejected(503, "too many routers wait; ask again in a few seconds")
                if not await _is_woken(poll, until=begun + min(question.hold, _longest_hold(split))):
                    return None
            return split

    def _check_may_answer(self) -> None:
        if not self._may_answer():
            raise Rejected(503, "this operator does not lead, or does not know all objects yet; ask again")

    def _current(self, namespace: str, name: str) -> RouterSplit:
        self._check_may_answer()
        split = self._split_of(namespace, name)
        if split is None:
            raise Rejected(404, f"there is no split of ModelDeployment {namespace}/{name}")
        return split


async def _is_woken(poll: Poll, *, until: float) -> bool:
    """Wait for a change; return False if the time is over or the router asks again."""
    woken = await poll.wait(until - asyncio.get_running_loop().time())
    return woken and not poll.is_superseded


def _longest_hold(split: RouterSplit) -> int:
    """Return the seconds after which a poll is answered although nothing is new. A router reports by asking again, and a canary's step waits for its counts."""
    has_canary = len(split.revisions) > 1
    return CANARY_HOLD_SECONDS if has_canary else LONGEST_HOLD_SECONDS
