"""A router and the operator's own port: a status that was written is in force within a second, a refusal comes back, and an operator may be away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from router_process import answers_of, running, settings_file
from routing_operator import TOKEN, RoutingOperator
from waiting import until

from tuneloop_api.contract.router import split_path

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def addresses(models) -> dict[str, tuple[str, int]]:
    return {name: ("127.0.0.1", models[name].port) for name in ("canary", "stable")}


@pytest.fixture(scope="module")
def operator(addresses, certificates) -> RoutingOperator:
    operator = RoutingOperator(certificates, addresses=addresses)
    operator.write_status(stable=100)
    return operator


@pytest.fixture
def serving(operator) -> Iterator[RoutingOperator]:
    with operator.serving():
        yield operator


@pytest.fixture(scope="module")
def router(operator, models, certificates, tmp_path_factory):
    folder = tmp_path_factory.mktemp("router")
    (folder / "token").write_text(TOKEN)
    follows = {
        "url": f"https://localhost:{operator.port}{split_path('team-a', 'reviews')}",
        "caPath": str(certificates / "own.crt"),
        "tokenPath": str(folder / "token"),
    }
    with running(settings_file(folder, models.split(canary=100), operator=follows)) as router:
        yield router


@pytest.fixture
def followed(serving, router) -> RoutingOperator:
    """The operator, once the router follows what it wants."""
    until(lambda: serving.report.in_force == serving.generation, seconds=20, what="the router follows it", pause=0.005)
    return serving


def revision(router) -> str:
    return router.get()[1]["x-tuneloop-revision"]


def test_a_status_that_was_written_is_followed_and_reported_within_a_second(followed, router):
    assert revision(router) == "reviews-stable"
    begun = time.monotonic()
    generation = followed.write_status(canary=100, stable=0)
    until(lambda: revision(router) == "reviews-canary", seconds=1, what="the canary answers", pause=0.005)
    print(f"from the status to the first answer: {(time.monotonic() - begun) * 1000:.0f} ms")
    until(lambda: followed.report.in_force == generation, seconds=1, what="the report", pause=0.005)
    assert followed.report.router == "reviews-router-x"


def test_the_requests_of_each_revision_reach_the_operator(followed, router, monkeypatch):
    monkeypatch.setattr("tuneloop_operator.routers.server.CANARY_HOLD_SECONDS", 0.2)
    generation = followed.write_status(canary=30, stable=70)
    until(lambda: followed.report.in_force == generation, seconds=10, what="the split is in force", pause=0.005)
    answers = answers_of(router.url, 100)
    until(
        lambda: {f"reviews-{revision}": count for revision, count in followed.report.requests} == answers.revisions,
        seconds=10,
        what="the counts",
    )


def test_a_router_that_refuses_a_split_says_why_and_is_not_asked_again(followed, router):
    in_force = followed.report.in_force
    refused = followed.write_status(stable=90)
    until(lambda: followed.report.refused == refused, seconds=10, what="the split is refused", pause=0.005)
    assert "the sum of the weights is 90; allowed: 100" in followed.report.reason
    assert followed.report.in_force == in_force
    good = followed.write_status(stable=100)
    until(lambda: followed.report.in_force == good, seconds=10, what="a good split follows", pause=0.005)
    assert followed.report.refused is None


def test_a_reason_of_any_length_reaches_the_operator(followed, addresses, router):
    usual = addresses["stable"]
    addresses["stable"] = ("é" * 8_000, 80)
    refused = followed.write_status(stable=100)
    until(lambda: followed.report.refused == refused, seconds=10, what="the split is refused", pause=0.005)
    addresses["stable"] = usual
    assert followed.report.reason


def test_a_router_goes_on_without_an_operator_and_reports_to_the_next_one(operator, router):
    with operator.serving():
        first = operator.write_status(canary=100, stable=0)
        until(lambda: operator.report.in_force == first, seconds=20, what="the first operator is followed", pause=0.005)
    assert revision(router) == "reviews-canary"
    with operator.serving():
        assert operator.report.in_force == 0, "nothing is known of routers at the start"
        until(lambda: operator.report.in_force == first, seconds=20, what="the router reports again", pause=0.005)
        assert revision(router) == "reviews-canary"
        second = operator.write_status(stable=100)
        until(lambda: operator.report.in_force == second, seconds=1, what="the next operator is followed", pause=0.005)


def test_a_router_keeps_its_split_while_the_operator_does_not_lead(followed, router):
    in_force, before = followed.report.in_force, revision(router)
    followed.step_down()
    followed.write_status(canary=50, stable=50)
    line = f"the operator answers 503; requests go on with generation {in_force}"
    until(lambda: line in router.log.read_text(), seconds=10, what="the router is told so", pause=0.005)
    assert {revision(router) for _ in range(20)} == {before}
    followed.leads = True
    until(lambda: followed.report.in_force == followed.generation, seconds=20, what="it leads again", pause=0.005)
