"""The operator's answers to the long polls of routers, over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from waiting import eventually

from tuneloop_api.contract.router import LONGEST_REASON, RoutedRevision, RouterSplit, split_path
from tuneloop_api.wire.model import changed
from tuneloop_operator.errors import ClusterUnavailable
from tuneloop_operator.routers.server import RouterIdentity, RouterServer
from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "s3cret"
Ask = Callable[..., Awaitable[tuple[int, Any]]]


def split(generation: int) -> RouterSplit:
    stable = RoutedRevision(name="reviews-1a2b", host="reviews-1a2b.team-a.svc", port=80, weight=100)
    return RouterSplit(generation=generation, deployment="reviews", revisions=[stable])


class Routers:
    """The token is the name of the router behind `s3cret-`."""

    async def authenticate(self, token: str, *, namespace: str, name: str) -> RouterIdentity | None:
        if token == "later":
            raise ClusterUnavailable("no answer")
        if not token.startswith(TOKEN):
            return None
        return RouterIdentity(name=token.removeprefix(f"{TOKEN}-"), may_ask=not token.endswith("stranger"))


class Operator:
    """A deployment `reviews` with the split of a generation, and what its routers reported."""

    def __init__(self, *, most_polls: int = 8) -> None:
        self.split = split(3)
        self.leads = True
        self.reports: list[RouterReport] = []
        self.server = RouterServer(
            authenticator=Routers(),
            split_of=self._split_of,
            on_report=self._note,
            may_answer=lambda: self.leads,
            most_polls=most_polls,
        )

    async def is_asked(self) -> None:
        """Wait for the first poll."""

        async def is_asked() -> bool:
            return bool(self.reports)

        await eventually(is_asked, seconds=10, what="a poll")

    def publish(self, generation: int) -> None:
        self.split = split(generation)
        self.server.changed("team-a", "reviews")

    def step_down(self) -> None:
        self.leads = False
        self.server.look_again()

    def _split_of(self, namespace: str, name: str) -> RouterSplit | None:
        return self.split if (namespace, name) == ("team-a", "reviews") else None

    def _note(self, _namespace: str, _name: str, report: RouterReport) -> None:
        self.reports.append(report)


def with_server(operator: Operator, life: Callable[[Ask], Awaitable[Any]]) -> Any:
    """Run `life` with a function that asks the server."""

    async def run() -> Any:
        runner = web.AppRunner(operator.server.application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(base) as session:

            async def ask(query: Mapping[str, Any], *, token: str = f"{TOKEN}-a", name: str = "reviews") -> Any:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with session.get(split_path("team-a", name), params=query, headers=headers) as answer:
                    return answer.status, None if answer.status == 304 else await answer.json()

            try:
                return await life(ask)
            finally:
                await runner.cleanup()

    return asyncio.run(run())


def answer(query: Mapping[str, Any], *, operator: Operator | None = None, **options: str) -> tuple[int, Any]:
    return with_server(operator or Operator(), lambda ask: ask(query, **options))


def test_a_router_that_follows_an_older_generation_gets_the_split_at_once() -> None:
    assert answer({"inForce": 2, "hold": 20}) == (200, split(3).to_wire())


def test_a_router_that_follows_the_split_waits_for_as_long_as_it_asks() -> None:
    begun = time.monotonic()
    assert answer({"inForce": 3, "hold": 1}) == (304, None)
    assert time.monotonic() - begun >= 1


def test_a_router_that_waits_gets_the_next_split_as_soon_as_there_is_one() -> None:
    operator = Operator()

    async def life(ask: Ask) -> tuple[Any, float]:
        poll = asyncio.create_task(ask({"inForce": 3, "hold": 20}))  # type: ignore[arg-type]
        await operator.is_asked()
        operator.publish(3)  # something else of the deployment has changed
        begun = time.monotonic()
        operator.publish(4)
        return await poll, time.monotonic() - begun

    (status, document), seconds = with_server(operator, life)
    assert (status, document["generation"]) == (200, 4)
    assert seconds < 1


def test_a_split_that_was_refused_is_not_given_again() -> None:
    assert answer({"inForce": 2, "refused": 3, "reason": "no", "hold": 0}) == (304, None)
    assert answer({"inForce": 2, "refused": 2, "reason": "no", "hold": 0})[0] == 200


def test_each_poll_is_a_report() -> None:
    operator = Operator()
    answer({"inForce": 2, "hold": 0, "refused": 3, "reason": "host: \x1b[2J" + "x" * 2000}, operator=operator)
    (report,) = operator.reports
    assert (report.router, report.in_force, report.refused) == ("a", 2, 3)
    assert report.reason.startswith(r"host: \x1b[2Jxxx")
    assert len(report.reason) == LONGEST_REASON


def test_a_report_has_the_requests_of_the_revisions_of_its_deployment() -> None:
    operator = Operator()
    requests = "reviews-7d1f:5,reviews-03ab:95,mails-7d1f:3,reviews-canary-x:0"
    answer({"inForce": 3, "hold": 0, "requests": requests}, operator=operator)
    (report,) = operator.reports
    assert report.requests == (("03ab", 95), ("7d1f", 5), ("canary-x", 0))


def test_with_a_canary_a_poll_is_held_for_a_shorter_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneloop_operator.routers.server.CANARY_HOLD_SECONDS", 0)
    operator = Operator()
    canary = RoutedRevision(name="reviews-3c4d", host="reviews-3c4d.team-a.svc", port=80, weight=0)
    operator.split = changed(operator.split, revisions=[canary, *operator.split.revisions])
    monkeypatch.setattr("tuneloop_operator.routers.server.LONGEST_HOLD_SECONDS", 3600)
    assert answer({"inForce": 3, "hold": 3600}, operator=operator) == (304, None)


@pytest.mark.parametrize(
    ("token", "status", "error"),
    [
        pytest.param("", 401, "no valid bearer token", id="none"),
        pytest.param("wrong", 401, "no valid bearer token", id="a wrong token"),
        pytest.param(f"{TOKEN}-stranger", 403, "stranger is no router of ModelDeployment team-a/reviews", id="another"),
        pytest.param("later", 503, "who asks cannot be checked now", id="not checked"),
    ],
)
def test_nobody_else_gets_a_split_or_leaves_a_report(token: str, status: int, error: str) -> None:
    operator = Operator()
    assert answer({"inForce": 0, "hold": 0}, operator=operator, token=token) == (status, {"error": error})
    assert not operator.reports


def test_a_deployment_without_a_split_has_none_to_give() -> None:
    operator = Operator()
    error = "there is no split of ModelDeployment team-a/mails"
    assert answer({"inForce": 0, "hold": 0}, operator=operator, name="mails") == (404, {"error": error})
    assert not operator.reports


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"hold": 20}, "inForce: is missing; a whole number from 0 to 9007199254740992 is allowed, for example 12"),
        ({"inForce": 1}, "hold: is missing; a whole number from 0 to 3600 is allowed, for example 12"),
        ({"inForce": -1, "hold": 1}, "inForce: -1; a whole number"),
        ({"inForce": "1.5", "hold": 1}, "inForce: 1.5; a whole number"),
        ({"inForce": "٣", "hold": 1}, "inForce: ٣; a whole number"),
        ({"inForce": "9" * 5000, "hold": 1}, f"inForce: {'9' * 40}; a whole number"),
        ({"inForce": 2**53 + 1, "hold": 1}, "inForce: 9007199254740993; a whole number"),
        ({"inForce": 1, "hold": 1, "refused": "x\x1b"}, r"refused: x\x1b; a whole number"),
        (
            {"requests": "reviews-7d1f:-1"},
            "requests: reviews-7d1f:-1; up to 8 revisions, each once with a whole number",
        ),
        ({"requests": "reviews-7d1f:1.5"}, "requests: reviews-7d1f:1.5; up to 8"),
        ({"requests": "reviews-7d1f:٣"}, "requests: reviews-7d1f:٣; up to 8"),
        ({"requests": f"reviews-7d1f:{2**53 + 1}"}, "requests: reviews-7d1f:9007199254740993; up to 8"),
        ({"requests": f"reviews-7d1f:{'9' * 5000}"}, f"requests: reviews-7d1f:{'9' * 27}; up to 8"),
        ({"requests": "reviews-7d1f"}, "requests: reviews-7d1f; up to 8"),
        ({"requests": "../7d1f:1"}, "requests: ../7d1f:1; up to 8"),
        ({"requests": f"{'a' * 64}:1"}, f"requests: {'a' * 40}; up to 8"),
        ({"requests": "a:1,a:2"}, "requests: a:1,a:2; up to 8"),
        ({"requests": "a:1,"}, "requests: a:1,; up to 8"),
        ({"requests": ",".join(f"r{number}:1" for number in range(9))}, "requests: r0:1,r1:1,"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused_by_its_field(query: dict[str, Any], error: str) -> None:
    rest = {"inForce": 1, "hold": 1} if "requests" in query else {}
    status, document = answer(query | rest)
    assert status == 422
    assert document["error"].startswith(error)


def test_the_operator_ends_a_long_wait_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneloop_operator.routers.server.LONGEST_HOLD_SECONDS", 0)
    assert answer({"inForce": 3, "hold": 3600}) == (304, None)


def test_routers_beyond_the_limit_are_answered_at_once_and_still_get_a_newer_split() -> None:
    operator = Operator(most_polls=1)

    async def life(ask: Any) -> list[Any]:
        waits = asyncio.create_task(ask({"inForce": 3, "hold": 20}))
        await operator.is_asked()
        refused = await ask({"inForce": 3, "hold": 20}, token=f"{TOKEN}-b")
        newer = await ask({"inForce": 2, "hold": 20}, token=f"{TOKEN}-b")
        operator.publish(4)
        return [refused, newer[0], (await waits)[0]]

    error = {"error": "too many routers wait; ask again in a few seconds"}
    assert with_server(operator, life) == [(503, error), 200, 200]


def test_routers_of_one_namespace_hold_half_of_the_polls() -> None:
    operator = Operator(most_polls=4)

    async def life(ask: Any) -> list[int]:
        waiting = [asyncio.create_task(ask({"inForce": 3, "hold": 20}, token=f"{TOKEN}-{name}")) for name in "ab"]
        while operator.server.waiting < 2:  # noqa: ASYNC110  (the count has no event)
            await asyncio.sleep(0.01)
        third = await ask({"inForce": 3, "hold": 20}, token=f"{TOKEN}-c")
        operator.publish(4)
        return [third[0], *(status for status, _ in await asyncio.gather(*waiting))]

    assert with_server(operator, life) == [503, 200, 200]


def test_a_router_that_asks_again_ends_its_earlier_poll() -> None:
    operator = Operator(most_polls=1)

    async def life(ask: Any) -> list[int]:
        first = asyncio.create_task(ask({"inForce": 3, "hold": 20}))
        await operator.is_asked()
        first_ends = await asyncio.wait_for(asyncio.gather(first, ask({"inForce": 3, "hold": 0})), timeout=10)
        return [status for status, _ in first_ends]

    assert with_server(operator, life)[0] == 304


NOT_LEADING = (503, {"error": "this operator does not lead, or does not know all objects yet; ask again"})


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="a router"),
        pytest.param({"name": "mails"}, id="of a deployment that it does not know"),
        pytest.param({"token": "wrong"}, id="whose token it cannot tell"),
    ],
)
def test_an_operator_that_does_not_lead_gives_no_split_denies_none_and_takes_no_report(options: dict[str, str]) -> None:
    operator = Operator()
    operator.step_down()
    assert answer({"inForce": 0, "hold": 0}, operator=operator, **options) == NOT_LEADING
    assert not operator.reports


def test_routers_that_wait_ask_again_as_soon_as_their_operator_leads_no_more() -> None:
    operator = Operator()

    async def life(ask: Any) -> tuple[Any, int, int]:
        poll = asyncio.create_task(ask({"inForce": 3, "hold": 20}))
        await operator.is_asked()
        waiting = operator.server.waiting
        operator.step_down()
        return await asyncio.wait_for(poll, timeout=10), waiting, operator.server.waiting

    assert with_server(operator, life) == (NOT_LEADING, 1, 0)


def test_a_split_that_comes_after_it_leads_no_more_is_not_given() -> None:
    operator = Operator()

    async def life(ask: Any) -> Any:
        poll = asyncio.create_task(ask({"inForce": 3, "hold": 20}))
        await operator.is_asked()
        operator.leads = False  # its Lease has run out, and nothing has reported it yet
        operator.publish(4)
        return await asyncio.wait_for(poll, timeout=10)

    assert with_server(operator, life) == NOT_LEADING
