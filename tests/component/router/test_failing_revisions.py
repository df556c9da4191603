"""A canary that dies, hangs or refuses costs no client an answer; and copies of requests cost no client anything."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from model_backends import backends
from router_process import Answers, answers_of, steady
from waiting import until

from tuneloop_router.envoy_config.stats import ACTIVE_REQUESTS

DELAY = "/?delay_ms=50"
"""So that some requests are under way when a revision fails."""


@pytest.fixture
def mortal():
    """A revision in a process of its own."""
    with backends("mortal") as found:
        yield found


async def load_while(stage, act, *, seconds: float) -> Answers:
    """Send 100 requests a second; do something half a second later; go on for a while."""
    answers, stop = Answers(), asyncio.Event()
    task = asyncio.create_task(steady(stage.router.url + DELAY, answers, per_second=100, stop=stop))
    await asyncio.sleep(0.5)
    act()
    await asyncio.sleep(seconds)
    stop.set()
    await task
    return answers


def publish_with(stage, mortal, *, weight: int, limits: dict | None = None) -> None:
    split = stage.models.split(generation=next(stage.generations), stable=100 - weight)
    split["revisions"].insert(0, mortal["mortal"].revision(weight))
    stage.operator.publish(split | {"limits": limits})
    stage.operator.wait_until_in_force(split["generation"])


def test_no_request_fails_when_a_canary_of_half_the_requests_is_killed(stage, mortal):
    publish_with(stage, mortal, weight=50)
    answers = asyncio.run(load_while(stage, mortal.process.kill, seconds=2))
    assert set(answers.revisions) == {"mortal", "stable"}
    assert answers.failed == 0, answers.outcomes


def test_a_request_that_waits_for_a_canary_goes_to_stable_when_the_canary_dies_after_it_has_left_the_split(
    stage, mortal
):
    publish_with(stage, mortal, weight=100)
    mortal.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(stage.router.get)
        until(lambda: stage.router.stat(ACTIVE_REQUESTS), seconds=5, what="the canary has the request", pause=0.01)
        stage.publish(stable=100)
        mortal.process.kill()
        status, headers, _ = answer.result(20)
    assert (status, headers["x-tuneloop-revision"]) == (200, "stable")


def test_no_request_fails_when_a_canary_hangs_if_its_silence_is_limited(stage, mortal):
    publish_with(stage, mortal, weight=50, limits={"perTryIdleSeconds": 1})
    answers = asyncio.run(load_while(stage, lambda: mortal.process.send_signal(signal.SIGSTOP), seconds=1))
    assert set(answers.revisions) == {"mortal", "stable"}
    assert answers.failed == 0, answers.outcomes


def test_a_503_that_may_be_repeated_is_answered_by_stable(stage):
    stage.publish(canary=50, stable=50)
    with stage.models["canary"].answering(503):
        answers = answers_of(stage.router.url, 100)
    assert answers.outcomes == {"200": 100}
    assert answers.revisions == {"stable": 100}


def publish_canary(stage, *, only_once: bool) -> None:
    """Publish a split by which the canary gets all requests."""
    split = stage.models.split(generation=next(stage.generations), canary=100, stable=0)
    split["revisions"][0]["onlyOnce"] = only_once
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])


def counts(stage) -> tuple[int, int]:
    """Return how many requests the canary and stable have begun."""
    return stage.models["canary"].last()["count"], stage.models["stable"].last()["count"]


@pytest.mark.parametrize(
    ("path", "only_once", "begun_by_stable", "status"),
    [
        pytest.param("/predict", False, 1, 200, id="a prediction of ours changes nothing"),
        pytest.param("/v1/feedback", False, 0, 503, id="feedback is counted"),
        pytest.param("/v1/feedback?a=1", False, 0, 503, id="feedback with a query is counted"),
        pytest.param("/predict", True, 0, 503, id="of another image nobody knows"),
        pytest.param("/v1/feedback", True, 0, 503, id="of another image neither"),
    ],
)
def test_what_a_server_may_have_begun_is_made_again_only_where_it_changes_nothing(
    stage, path, only_once, begun_by_stable, status
):
    publish_canary(stage, only_once=only_once)
    before = counts(stage)
    with stage.models["canary"].answering(0):
        found = stage.router.send("POST", path, body=b"{}")
    after = counts(stage)
    assert (found[0], after[0] - before[0], after[1] - before[1]) == (status, 1, begun_by_stable)
    assert stage.router.get()[1]["x-tuneloop-revision"] == "canary"  # so that a next failure is its first again


@pytest.mark.parametrize("path", ["/predict", "/v1/feedback"])
def test_a_503_that_says_that_nothing_was_begun_is_repeated_for_every_server_and_path(stage, path):
    for only_once in (False, True):
        publish_canary(stage, only_once=only_once)
        with stage.models["canary"].answering(503):
            assert stage.router.send("POST", path, body=b"{}")[1]["x-tuneloop-revision"] == "stable"


def test_a_server_that_takes_no_connection_costs_no_request_that_is_made_only_once(stage, mortal):
    split = stage.models.split(generation=next(stage.generations), stable=0)
    split["revisions"].insert(0, mortal["mortal"].revision(100) | {"onlyOnce": True})
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    assert stage.router.get()[1]["x-tuneloop-revision"] == "mortal"
    mortal.process.kill()
    mortal.process.wait()
    body = bytes(1 << 20)  # it is held until a server has answered, so that it can be sent again
    assert stage.router.send("POST", "/predict", body=body)[1]["x-tuneloop-revision"] == "stable"
    assert stage.models["stable"].last()["bytes"] == len(body)


def test_a_503_that_no_revision_can_make_good_reaches_the_client_without_our_header(stage):
    stage.publish(canary=100)
    with stage.models["canary"].answering(503):
        status, headers, _ = stage.router.get()
    assert (status, headers["x-tuneloop-revision"]) == (503, "canary")
    assert "x-tuneloop-retry" not in headers


def test_an_error_of_a_model_is_the_clients_answer(stage):
    """It is counted by the gates of a roll-out, so it must neither be hidden nor take the revision out."""
    stage.publish(canary=100, stable=0)
    with stage.models["canary"].answering(500):
        answers = answers_of(stage.router.url, 50)
    assert answers.outcomes == {"500": 50}
    assert answers.revisions == {"canary": 50}


@pytest.mark.parametrize("weights", [{"stable": 100}, {"canary": 50, "stable": 50}], ids=["alone", "beside a canary"])
def test_servers_that_are_too_slow_for_their_health_checks_still_answer_requests(stage, weights):
    """On a busy node all checks may time out, of the router's own making as well: no server is then known to be better."""
    split = stage.models.split(generation=next(stage.generations), **weights)
    for revision in split["revisions"]:
        revision["healthPath"] = "/silent"
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    answers = answers_of(stage.router.url, 50)
    assert answers.outcomes == {"200": 50}


def test_a_canary_that_is_too_slow_for_its_health_checks_gets_no_request_while_stable_passes_them(stage):
    split = stage.models.split(generation=next(stage.generations), canary=50, stable=50)
    split["revisions"][0]["healthPath"] = "/silent"
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    assert answers_of(stage.router.url, 50).revisions == {"stable": 50}


def test_without_any_revision_the_answer_is_json(stage):
    split = stage.models.split(generation=next(stage.generations), stable=100)
    split["revisions"][0]["port"] = 9  # nobody listens there
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    status, headers, text = stage.router.get()
    assert (status, headers["content-type"]) == (503, "application/json")
    assert '"type":"router"' in text


def test_on_loopback_a_revision_that_takes_over_gets_its_own_address_as_host(stage):
    split = stage.models.split(generation=next(stage.generations), canary=100, stable=0)
    split["revisions"][0]["port"] = 9
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    assert stage.router.get()[1]["x-tuneloop-revision"] == "stable"
    assert stage.models["stable"].last()["headers"]["host"] == f"127.0.0.1:{stage.models['stable'].port}"


def shadow(stage, percent: int) -> dict:
    return {"host": "127.0.0.1", "port": stage.models["comparator"].port, "percent": percent}


def test_a_copy_is_whole_and_carries_no_key(stage):
    stage.publish(stable=100, shadow=shadow(stage, 100))
    before = stage.models["comparator"].last()["count"]
    body = bytes(range(256)) * 8000
    headers = {"authorization": "Bearer s3cret", "x-api-key": "s3cret", "cookie": "a=s3cret", "x-user": "u1"}
    assert stage.router.send("POST", "/v1/x?q=1", body=body, headers=headers)[0] == 200
    until(lambda: stage.models["comparator"].last()["count"] > before, seconds=10, what="the copy arrives")
    original, copy = stage.models["stable"].last(), stage.models["comparator"].last()
    assert (copy["path"], copy["sha256"]) == ("/v1/x?q=1", hashlib.sha256(body).hexdigest())
    assert "s3cret" not in str(copy)
    assert {name: copy["headers"][name] for name in ("x-user", "x-request-id")} == {
        name: original["headers"][name] for name in ("x-user", "x-request-id")
    }
    # on loopback a comparator answers to its own address alone
    assert copy["headers"]["host"] == f"127.0.0.1:{stage.models['comparator'].port}"


def test_a_share_of_the_requests_is_copied(stage):
    stage.publish(stable=100, shadow=shadow(stage, 20))
    before = stage.models["comparator"].last()["count"]
    answers_of(stage.router.url, 500)

    def copies() -> int:
        return stage.models["comparator"].last()["count"] - before

    until(lambda: copies() > 64, seconds=10, what="the copies arrive")  # 100, less four standard errors
    assert copies() < 136


@pytest.mark.parametrize("harm", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "dead"])
def test_a_comparator_that_fails_costs_no_client_anything(stage, mortal, harm):
    where = {"host": "127.0.0.1", "port": mortal["mortal"].port, "percent": 100}
    stage.publish(stable=100, shadow=where)
    mortal.process.send_signal(harm)
    assert answers_of(stage.router.url, 300).failed == 0  # an answer that takes 30 s would be a failed one
