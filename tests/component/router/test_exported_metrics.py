"""What a router's second port shows of a real Envoy: the metrics of the page and no others, few of them, with the labels of model servers."""

from __future__ import annotations

import pytest
from metrics_page import assert_documented, exported_types, lint, names_in_rules
from router_process import answers_of, exchange, running, settings_file
from waiting import until

SERIES = 200
"""At most, of one pod."""
REVISIONS = ("reviews-7d1f", "reviews-03ab")
STATUSES = (200, 400, 404, 405, 413, 415, 422, 429, 500, 502, 504)
"""All that a model server of ours answers, and some that an image of a user may."""
ENVOYS_OWN = {
    "no help text",
    'counter metrics should have "_total" suffix',
    'non-counter metrics should not have "_total" suffix',
    'use base unit "seconds" instead of "milliseconds"',
}
"""What promtool does not like in the names of Envoy, which people know."""


def metrics_of(router) -> str:
    return exchange(router.metrics_port, "GET", "/metrics", headers={})[2]


def series(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def text(envoy, tmp_path_factory):
    """The metrics after every status of two revisions, a fallback to stable, a retry, a copy, a request that no server gets, and requests that no server takes."""
    from model_backends import backends

    with backends(*REVISIONS, "comparator") as models:
        split = models.split(**dict.fromkeys(REVISIONS, 50))
        split["shadow"] = {"host": "127.0.0.1", "port": models["comparator"].port, "percent": 100}
        with running(settings_file(tmp_path_factory.mktemp("router"), split)) as router:
            for status in STATUSES:
                for name in REVISIONS:
                    models[name].answer_with(status)
                answers_of(router.url, 30)
            models[REVISIONS[0]].answer_with(503)
            models[REVISIONS[1]].answer_with(200)
            answers_of(router.url, 30)
            router.get(x_large="x" * (1 << 17))
            models.process.kill()
            answers_of(router.url, 30)
            until(lambda: "router_first_byte" in metrics_of(router), seconds=20, what="histograms appear")
            yield metrics_of(router)


def test_they_are_those_of_the_page(text):
    assert_documented(text, "Routers")


def test_they_are_few_after_every_status_of_two_revisions(text):
    assert 100 < len(series(text)) <= SERIES


def test_the_recording_rules_use_names_that_envoy_exports(text):
    assert names_in_rules("envoy") <= exported_types(text).keys()


def test_promtool_finds_nothing_but_what_is_envoys_own(text):
    complaints = {line.split(" ", 1)[1] for line in lint(text)}
    assert complaints == ENVOYS_OWN
    assert exported_types(text)["envoy_router_requests_total"] == "counter"


def test_a_revision_is_its_hash_as_on_model_servers(text):
    requests = [line for line in series(text) if line.startswith("envoy_router_requests_total")]
    assert any('target="7d1f",revision="7d1f",code="200"' in line for line in requests)
    assert any('target="7d1f",revision="03ab",code="200"' in line for line in requests), "a fallback"
    assert any('revision="",code="431"' in line for line in requests), "no server was asked"
    assert any('target="03ab",revision="03ab",code="503"' in line for line in requests), "a server takes no connection"
    retries = [line for line in series(text) if line.startswith("envoy_cluster_upstream_rq_retry{")]
    assert any(
        'or-stable",deployment="reviews",revision="7d1f"} ' in line and not line.endswith(" 0") for line in retries
    )
    assert not any("/" in part for line in series(text) for part in line.split(",") if part.startswith("revision="))


def test_the_comparator_is_no_revision(text):
    (line,) = [
        line for line in series(text) if line.startswith("envoy_cluster_upstream_rq_pending_overflow") and "//" in line
    ]
    assert "revision=" not in line


def test_a_revision_that_is_gone_has_no_servers_any_more(stage):
    def of_canary() -> list[str]:
        found = series(metrics_of(stage.router))
        return [line for line in found if line.startswith("envoy_cluster_") and 'revision="canary"' in line]

    stage.publish(canary=50, stable=50)
    assert of_canary()
    stage.publish(stable=100)
    until(lambda: not of_canary(), seconds=10, what="no series of its cluster")
