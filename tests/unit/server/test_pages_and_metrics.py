"""What probes and Prometheus read of a server: names, buckets and values are what dashboards and alerts are made of."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest
from artifact import manifest_of
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.model import changed
from tuneloop_server.adapters import NO_ADAPTERS
from tuneloop_server.app import create_app, create_metrics_app
from tuneloop_server.model import Encoded
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.tasks.task import Prediction

SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]
RATIOS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999]
MANIFEST = manifest_of(["no", "yes"])
CONSTANT = {"deployment": "reviews", "revision": "abc123", "task": "text-classification"}


@pytest.fixture
def config() -> ServerConfig:
    return ServerConfig(
        namespace="team", name="reviews", revision="abc123", artifact_path="/models/reviews", artifact_uri="pvc://models/reviews"
    )  # fmt: skip


@pytest.fixture
def monitoring(config) -> Monitoring:
    """Metrics after one request with two texts."""
    monitoring = Monitoring(config, MANIFEST, label_names=["no", "yes"])
    monitoring.watch_queue(lambda: 3)
    monitoring.model_loaded(1.5)
    monitoring.request_done("hf", status=200, reason="ok", seconds=0.02)
    monitoring.encoded([Encoded(ids=[1, 2], truncated=True), Encoded(ids=[3], truncated=True)])
    monitoring.encoded([Encoded(ids=[1])])
    monitoring.predicted([Prediction(label="yes", confidence=0.9, calibrated_confidence=0.6, entropy=0.25)])
    monitoring.text_answered("sound")
    monitoring.pass_done(waited=[0.25, 0.5], seconds=0.125)
    return monitoring


def samples_of(monitoring: Monitoring) -> list:
    families = text_string_to_metric_families(generate_latest(monitoring.registry).decode())
    return [sample for family in families for sample in family.samples]


def test_every_metric_has_its_name_its_labels_and_its_value(monitoring):
    found = {
        (sample.name.removeprefix("tuneloop_"), *sorted(sample.labels.keys() - CONSTANT.keys())): sample.value
        for sample in samples_of(monitoring)
        if not sample.name.endswith("_bucket") and sample.labels.get("label") != "no"
    }
    assert found == {
        ("requests_total", "code", "protocol", "reason"): 1,
        ("request_duration_seconds_count", "protocol"): 1,
        ("request_duration_seconds_sum", "protocol"): 0.02,
        ("queue_duration_seconds_count",): 2,
        ("queue_duration_seconds_sum",): 0.75,
        ("inference_duration_seconds_count",): 1,
        ("inference_duration_seconds_sum",): 0.125,
        ("batch_size_requests_count",): 1,
        ("batch_size_requests_sum",): 2,
        ("inflight_requests",): 0,
        ("queue_requests",): 3,
        ("draining",): 0,
        ("confidence_ratio_count",): 1,
        ("confidence_ratio_sum",): 0.9,
        ("calibrated_confidence_ratio_count",): 1,
        ("calibrated_confidence_ratio_sum",): 0.6,
        ("entropy_ratio_count",): 1,
        ("entropy_ratio_sum",): 0.25,
        ("truncated_requests_total",): 1,
        ("tokens_total", "direction"): 4,
        ("texts_total", "kind"): 1,
        ("predictions_total", "label"): 1,
        ("model_loaded",): 1,
        ("model_load_duration_seconds",): 1.5,
        ("model_last_load_timestamp_seconds",): pytest.approx(time.time(), abs=60),
        ("model_info", "digest", "dtype", "engine"): 1,
    }


def test_the_labels_of_the_metrics_have_known_values(monitoring):
    labels = {sample.name: sample.labels for sample in samples_of(monitoring) if sample.labels.get("label") != "no"}
    assert all(value.items() >= CONSTANT.items() for value in labels.values())
    assert labels["tuneloop_requests_total"] == CONSTANT | {"protocol": "hf", "code": "200", "reason": "ok"}
    assert labels["tuneloop_request_duration_seconds_sum"] == CONSTANT | {"protocol": "hf"}
    assert labels["tuneloop_tokens_total"] == CONSTANT | {"direction": "prompt"}
    assert labels["tuneloop_predictions_total"] == CONSTANT | {"label": "yes"}
    assert labels["tuneloop_model_info"] == CONSTANT | {
        "digest": MANIFEST.digest(),
        "engine": "torch",
        "dtype": "fp32",
    }


@pytest.mark.parametrize(
    ("name", "buckets"),
    [
        ("request_duration_seconds", SECONDS),
        ("queue_duration_seconds", SECONDS),
        ("inference_duration_seconds", SECONDS),
        ("batch_size_requests", [float(2**power) for power in range(11)]),
        ("confidence_ratio", RATIOS),
        ("calibrated_confidence_ratio", RATIOS),
        ("entropy_ratio", RATIOS),
    ],
)
def test_the_buckets_are_those_of_the_dashboards(monitoring, name, buckets):
    found = [
        float(sample.labels["le"]) for sample in samples_of(monitoring) if sample.name == f"tuneloop_{name}_bucket"
    ]
    assert found == [*buckets, float("inf")]


def answer(config, monitoring, path: str, *, not_ready: str | None = None) -> tuple[int, object, str]:
    """Return status, body and type of a page."""
    service = SimpleNamespace(
        not_ready_reason=not_ready,
        lost_reason=None,
        monitoring=monitoring,
        manifest=MANIFEST,
        config=config,
        adapters=NO_ADAPTERS,
        feedback=None,
    )
    app = create_app(service, stop=lambda _error: None, protocols={})
    (route,) = (route for route in app.routes if route.path == path)
    assert route.methods == {"GET", "HEAD"}
    response = asyncio.run(route.endpoint(None))
    kind = response.headers["content-type"]
    return response.status_code, json.loads(response.body) if "json" in kind else response.body.decode(), kind


@pytest.mark.parametrize(
    ("path", "not_ready", "status", "body"),
    [
        ("/healthz", "the model is being loaded", 200, {"status": "ok"}),
        ("/readyz", None, 200, {"status": "ok"}),
        ("/readyz", "the model is being loaded", 503, {"error": "the model is being loaded"}),
        (
            "/info",
            None,
            200,
            {
                "deployment": "reviews",
                "revision": "abc123",
                "digest": MANIFEST.digest(),
                "task": "text-classification",
                "labels": ["no", "yes"],
                "maxTokens": MANIFEST.max_tokens,
                "baseModel": MANIFEST.base_model,
            },
        ),
    ],
)
def test_a_page_says_how_the_server_is(config, monitoring, path, not_ready, status, body):
    assert answer(config, monitoring, path, not_ready=not_ready)[:2] == (status, body)


@pytest.mark.parametrize(
    ("metrics_port", "on_the_model_port"),
    [(None, {"/healthz", "/readyz", "/metrics", "/info"}), (8081, {"/healthz", "/readyz", "/info"})],
)
def test_metrics_are_on_one_port_only(config, metrics_port, on_the_model_port):
    service = SimpleNamespace(config=changed(config, metrics_port=metrics_port), feedback=None)
    app = create_app(service, stop=lambda _error: None, protocols={})
    assert {route.path for route in app.routes} == on_the_model_port
    assert {route.path for route in create_metrics_app(service).routes} == {"/healthz", "/readyz", "/metrics"}


def test_the_metrics_are_read_as_prometheus_text(config, monitoring):
    status, text, kind = answer(config, monitoring, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "tuneloop_model_loaded{" in text
