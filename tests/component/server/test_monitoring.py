"""The metrics: what each of them counts."""

from __future__ import annotations

import time

import pytest
from artifact import manifest_of
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from server_process import configuration

from tuneloop_api.contract.monitoring_profile import MOST_LABELS
from tuneloop_server.model import Encoded
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.tasks.task import Prediction


def predicted_labels(monitoring: Monitoring) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(monitoring.registry).decode())
    return {
        sample.labels["label"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "tuneloop_predictions_total"
    }


def monitoring_of(tmp_path, labels: list[str]) -> Monitoring:
    return Monitoring(configuration(tmp_path), manifest_of(labels), label_names=labels)


def predictions_of(*labels: str) -> list[Prediction]:
    return [Prediction(label=label, confidence=0.9, calibrated_confidence=0.5, entropy=0.25) for label in labels]


def test_labels_beyond_the_limit_count_as_other(tmp_path):
    labels = [f"class-{index}" for index in range(MOST_LABELS + 30)]
    monitoring = monitoring_of(tmp_path, labels)
    monitoring.predicted(predictions_of(*labels))
    counted = predicted_labels(monitoring)
    assert len(counted) == MOST_LABELS + 1
    assert (counted["class-0"], counted[f"class-{MOST_LABELS - 1}"], counted["other"]) == (1, 1, 30)


def test_as_many_labels_as_the_limit_all_have_their_own_series(tmp_path):
    labels = [f"class-{index}" for index in range(MOST_LABELS)]
    monitoring = monitoring_of(tmp_path, labels)
    monitoring.predicted(predictions_of(labels[-1]))
    assert predicted_labels(monitoring) == dict.fromkeys(labels, 0) | {labels[-1]: 1}


def test_each_prediction_is_counted_with_both_confidences(tmp_path):
    monitoring = monitoring_of(tmp_path, ["no", "yes"])
    monitoring.predicted(predictions_of("yes", "yes", "no"))
    assert predicted_labels(monitoring) == {"no": 1, "yes": 2}
    assert value(monitoring, "confidence_ratio_sum") == pytest.approx(2.7)
    assert value(monitoring, "calibrated_confidence_ratio_sum") == pytest.approx(1.5)
    assert value(monitoring, "calibrated_confidence_ratio_count") == 3


def test_tokens_add_up_and_a_request_with_cut_texts_counts_once(tmp_path):
    monitoring = monitoring_of(tmp_path, ["no"])
    monitoring.encoded([Encoded(ids=[1, 2]), Encoded(ids=[3])])
    assert value(monitoring, "truncated_requests_total") == 0
    monitoring.encoded([Encoded(ids=[1], truncated=True), Encoded(ids=[1], truncated=True)])
    assert value(monitoring, "truncated_requests_total") == 1
    assert value(monitoring, "tokens_total", direction="prompt") == 5


def test_a_request_is_counted_by_protocol_code_and_reason_with_its_seconds(tmp_path):
    monitoring = monitoring_of(tmp_path, ["no"])
    monitoring.request_done("hf", status=429, reason="overloaded", seconds=0.25)
    assert value(monitoring, "requests_total", protocol="hf", code="429", reason="overloaded") == 1
    assert value(monitoring, "request_duration_seconds_sum", protocol="hf") == 0.25


def test_gauges_say_what_is_loaded_since_when_and_how_many_texts_wait(tmp_path):
    monitoring = monitoring_of(tmp_path, ["no"])
    gauges = ("model_loaded", "model_load_duration_seconds", "queue_requests", "draining", "inflight_requests")
    assert [value(monitoring, name) for name in gauges] == [0, 0, 0, 0, 0]
    begun = time.time()
    monitoring.model_loaded(7.5)
    assert begun <= value(monitoring, "model_last_load_timestamp_seconds") <= time.time()
    monitoring.watch_queue(lambda: 3)
    assert [value(monitoring, name) for name in gauges[:3]] == [1, 7.5, 3]


def test_model_info_names_the_artifact_by_its_digest(tmp_path):
    manifest = manifest_of(["no"])
    monitoring = Monitoring(configuration(tmp_path), manifest, label_names=["no"])
    assert value(monitoring, "model_info", digest=manifest.digest(), engine="torch", dtype="fp32") == 1


def test_model_info_names_the_engine_and_its_numbers(tmp_path):
    manifest = manifest_of(["no"])
    config = configuration(tmp_path, engine="onnx", dtype="int8")
    monitoring = Monitoring(config, manifest, label_names=["no"])
    assert value(monitoring, "model_info", digest=manifest.digest(), engine="onnx", dtype="int8") == 1


def value(monitoring: Monitoring, name: str, **labels: str) -> float | None:
    constant = {"deployment": "reviews", "revision": "abc123", "task": "text-classification"}
    return monitoring.registry.get_sample_value(f"tuneloop_{name}", constant | labels)
