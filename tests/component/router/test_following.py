"""The router follows the operator: at once, without a failed request, and without believing everything."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from model_backends import backends
from router_process import Answers, running, settings_file, steady, stream
from split_operator import following, split_operator
from splits import parsed
from waiting import until

from tuneloop_router.configuration import Configuration
from tuneloop_router.envoy_config.stats import healthy_servers
from tuneloop_router.errors import Refused
from tuneloop_router.settings import Settings
from tuneloop_router.split import Sticky


@asynccontextmanager
async def load(url: str, answers: Answers):
    stop = asyncio.Event()
    task = asyncio.create_task(steady(url, answers, per_second=60, stop=stop))
    try:
        yield
    finally:
        stop.set()
        await task


def seconds_until(stage, revision: str) -> float:
    """Return the time until a request is answered by this revision."""
    begun = time.monotonic()
    until(
        lambda: stage.router.get()[1].get("x-tuneloop-revision") == revision,
        seconds=10,
        what=f"{revision} answers",
        pause=0.005,
    )
    return time.monotonic() - begun


def test_changes_take_effect_within_a_second_and_no_request_fails(stage):
    """Weights change, a revision comes at 100 %, and another goes, while requests and streams are under way."""
    stage.publish(canary=0, stable=100)
    answers, seconds = Answers(), []
    splits = (
        {"canary": 100, "stable": 0},
        {"canary": 0, "stable": 100},
        {"middle": 100, "stable": 0},
        {"middle": 100},
        {"stable": 100},
    )

    def change() -> None:
        for weights in splits:
            split = stage.models.split(generation=next(stage.generations), **weights)
            stage.operator.publish(split)
            chosen = next(name for name, weight in weights.items() if weight == 100)
            seconds.append(seconds_until(stage, chosen))
            stage.operator.wait_until_in_force(split["generation"])
            until(lambda name=chosen: name in answers.revisions, seconds=20, what=f"the load meets {chosen}")

    async def life() -> None:
        async with load(stage.router.url, answers):
            streams = [asyncio.create_task(stream(stage.router.url, events=20, gap_ms=100)) for _ in range(5)]
            await asyncio.to_thread(change)
            assert all([(await running).whole for running in streams])

    asyncio.run(life())
    assert statistics.median(seconds) <= 1  # a busy machine may hold up one of them
    assert answers.failed == 0, answers.outcomes


def test_a_split_is_in_force_once_a_server_for_it_is_found(stage):
    """Whoever leads requests here because the split is in force gets answers, also from a server that is ready just now."""
    before = stage.publish(stable=100)
    with backends("late") as late:
        late.process.send_signal(signal.SIGSTOP)
        split = late.split(generation=next(stage.generations), late=100)
        stage.operator.publish(split)
        until(lambda: stage.router.generation_kept == split["generation"], seconds=20, what="the split is followed")
        polls = len(stage.operator.reports)
        until(lambda: len(stage.operator.reports) > polls + 1, seconds=30, what="further polls")
        assert {report["inForce"] for report in stage.operator.reports[polls:]} == {str(before)}
        late.process.send_signal(signal.SIGCONT)
        stage.operator.wait_until_in_force(split["generation"])
        assert stage.router.get()[1]["x-tuneloop-revision"] == "late"
        stage.publish(stable=100)


def test_a_split_of_which_one_revision_has_servers_is_in_force(stage):
    with backends("never") as never:
        never.process.send_signal(signal.SIGSTOP)
        split = stage.models.split(generation=next(stage.generations), stable=50)
        split["revisions"].insert(0, never["never"].revision(50))
        stage.operator.publish(split)
        stage.operator.wait_until_in_force(split["generation"])
        stage.publish(stable=100)


BAD = {
    "weights of 99": lambda split: split["revisions"][1].update(weight=98),
    "a host with a quote": lambda split: split["revisions"][0].update(host='a"b'),
    "another deployment": lambda split: split.update(deployment="mails"),
    "a path as a name": lambda split: split["revisions"][0].update(name="../admin"),
    "Envoy's configuration": lambda split: split.update(revisions=[{"@type": "type.googleapis.com/envoy"}]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_split_changes_nothing_and_the_operator_is_told_why(stage, what):
    in_force = stage.publish(canary=0, stable=100)
    files = {name: (stage.router.folder / name).read_bytes() for name in ("routes.json", "clusters.json", "state.json")}
    split = stage.models.split(generation=next(stage.generations), canary=1, stable=99)
    BAD[what](split)
    stage.operator.publish(split)
    assert "; allowed: " in stage.operator.wait_for_refusal(split["generation"])
    assert stage.operator.in_force == in_force
    assert {name: (stage.router.folder / name).read_bytes() for name in files} == files


LEAST = {
    "bodyBytes": 1, "idleSeconds": 1, "perTryIdleSeconds": 1, "rateLimit": {"requestsPerSecond": 0.01, "burst": 1},
}  # fmt: skip
MOST = {
    "bodyBytes": 2**28, "idleSeconds": 86_400, "perTryIdleSeconds": 86_400, "rateLimit": {"requestsPerSecond": 1e6, "burst": 10**7}, "apiKey": True,
}  # fmt: skip


@pytest.mark.parametrize("limits", [LEAST, MOST], ids=["least", "most"])
def test_envoy_takes_every_split_that_the_router_takes(stage, limits):
    long = "a" * 63
    split = stage.models.split(generation=next(stage.generations), canary=0, middle=1, comparator=0, stable=99)
    for revision, name in zip(split["revisions"], (long, "a-b", "shadow", "admin"), strict=True):
        revision["name"] = name
    split["revisions"][0]["host"] = ".".join(["a" * 61] * 4)
    split |= {"sticky": {"header": "x-" + "a" * 62, "salt": "-" * 64}, "limits": limits}
    stage.operator.publish(split | {"shadow": {"host": "localhost.", "port": 65535, "percent": 1}})
    stage.operator.wait_until_in_force(split["generation"])


def test_a_name_is_resolved(stage):
    split = stage.models.split(generation=next(stage.generations), stable=100)
    split["revisions"][0]["host"] = "localhost"
    stage.operator.publish(split)
    stage.operator.wait_until_in_force(split["generation"])
    assert stage.router.get()[1]["x-tuneloop-revision"] == "stable"


REFUSED = {
    "routes": lambda split: replace(split, sticky=Sticky("x user\n", "")),
    "clusters": lambda split: replace(split, revisions=(replace(split.stable, port=70_000),)),
}
"""No message can be so: these splits are made by hand."""


@pytest.mark.parametrize("what", REFUSED)
def test_what_envoy_refuses_leaves_the_files_and_the_answers_as_they_were(tmp_path, models, what):
    settings = settings_file(tmp_path, models.split(stable=100))
    with running(settings) as router:
        configuration = Configuration(Settings.read(settings), parsed(models.split(stable=100)))
        with pytest.raises(Refused, match="Envoy refuses the configuration"):
            configuration.apply(REFUSED[what](parsed(models.split(generation=2, canary=99, stable=1))))
        assert configuration.split.generation == router.generation_kept == 1
        assert '"generation-1"' in (router.folder / "routes.json").read_text()
        assert "canary" not in (router.folder / "clusters.json").read_text()
        assert router.get()[1]["x-tuneloop-revision"] == "stable"
        configuration.apply(parsed(models.split(generation=3, canary=100)))
        assert router.get()[1]["x-tuneloop-revision"] == "canary"


def test_an_older_generation_changes_nothing(stage):
    in_force = stage.publish(stable=100)
    stage.operator.publish(stage.models.split(generation=1, canary=100), generation=in_force + 1)
    assert f"a generation after {in_force}" in stage.operator.wait_for_refusal(1)
    assert stage.router.get()[1]["x-tuneloop-revision"] == "stable"
    next(stage.generations)


def test_what_is_no_json_changes_nothing(stage):
    in_force = stage.publish(stable=100)
    stage.operator.publish(b"\xff" * 100_000, generation=next(stage.generations))
    assert "at most 65536 bytes" in stage.operator.wait_for_refusal(0)
    assert stage.operator.in_force == in_force


def test_a_good_split_follows_a_refused_one(stage):
    split = stage.models.split(generation=next(stage.generations), canary=100)
    stage.operator.publish(split | {"revisions": []})
    stage.operator.wait_for_refusal(split["generation"])
    stage.publish(canary=100)
    assert stage.router.get()[1]["x-tuneloop-revision"] == "canary"
    assert "refused" not in stage.operator.reports[-1]


def test_a_token_is_read_anew_for_each_poll(stage):
    stage.publish(stable=100)
    stage.operator.token = "second-token"
    before = stage.operator.refused_polls
    stage.operator.publish(
        stage.models.split(generation=next(stage.generations), stable=100)
    )  # ends the poll that is held
    until(lambda: stage.operator.refused_polls > before, seconds=10, what="the old token is refused")
    (stage.folder / "token").write_text("second-token\n")
    stage.publish(canary=100)


def test_it_starts_without_an_operator_follows_one_that_comes_and_goes_on_when_it_goes(tmp_path, models, certificates):
    (tmp_path / "token").write_text("first-token")
    with split_operator(certificates, token="first-token") as operator:
        port = operator.port
    away = following(tmp_path, operator, certificates)
    with running(settings_file(tmp_path, models.split(stable=100), operator=away)) as router:
        assert router.get()[0] == 200
        until(lambda: "Connection refused" in router.log.read_text(), seconds=20, what="the operator is missed")
        with split_operator(certificates, token="first-token", port=port) as operator:
            operator.publish(models.split(generation=2, canary=100))
            operator.wait_until_in_force(2)
            assert router.get()[1]["x-tuneloop-revision"] == "canary"
        assert [router.get()[1]["x-tuneloop-revision"] for _ in range(20)] == ["canary"] * 20


@pytest.mark.parametrize("what", ["another authority", "another name"])
def test_another_server_is_not_believed_and_gets_no_token(tmp_path, models, certificates, what):
    (tmp_path / "token").write_text("first-token")
    certificate, host = ("other", "localhost") if what == "another authority" else ("own", "127.0.0.1")
    with split_operator(certificates, token="first-token", certificate=certificate) as operator:
        operator.publish(models.split(generation=2, canary=100))
        url = f"https://{host}:{operator.port}/v1/routers/team/reviews"
        settings = following(tmp_path, operator, certificates, url=url)
        with running(settings_file(tmp_path, models.split(stable=100), operator=settings)) as router:
            until(
                lambda: "certificate verify failed" in router.log.read_text(), seconds=10, what="the server is refused"
            )
            assert (operator.reports, operator.refused_polls, router.generation_kept) == ([], 0, 1)


@pytest.mark.full
def test_the_servers_of_a_split_that_was_left_are_forgotten_once_they_have_drained(models, certificates, tmp_path):
    (tmp_path / "token").write_text("first-token\n")
    with split_operator(certificates, token="first-token") as operator:
        link = following(tmp_path, operator, certificates)
        settings = settings_file(tmp_path, models.split(canary=50, stable=50), operator=link, drainSeconds=1)
        with running(settings) as router:
            operator.publish(models.split(generation=2, stable=100))
            operator.wait_until_in_force(2)
            canary = healthy_servers("reviews/canary")
            assert router.stat(canary) == 1
            until(lambda: not router.stat(canary), seconds=60, what="the canary's servers are forgotten")
            assert router.get()[1]["x-tuneloop-revision"] == "stable"
