"""The metrics of a model with many classes."""

from __future__ import annotations

from artifact import manifest_of
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from server_process import configuration

from tuneloop_server.monitoring import MOST_LABELS, Monitoring
from tuneloop_server.predictions import Prediction


def predicted_labels(monitoring: Monitoring) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(monitoring.registry).decode())
    return {
        sample.labels["label"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "tuneloop_predictions_total"
    }


def one_for(index: int, *, classes: int) -> Prediction:
    probabilities = [0.9 if position == index else 0.0 for position in range(classes)]
    return Prediction(
        logits=probabilities, probabilities=probabilities, calibrated_confidence=0.5, tokens=1, truncated=False
    )


def test_classes_beyond_the_limit_count_as_other(tmp_path):
    classes = MOST_LABELS + 30
    monitoring = Monitoring(configuration(tmp_path), manifest_of([f"class-{index}" for index in range(classes)]))
    monitoring.predicted([one_for(index, classes=classes) for index in range(classes)])
    counted = predicted_labels(monitoring)
    assert len(counted) == MOST_LABELS + 1
    assert (counted["class-0"], counted[f"class-{MOST_LABELS - 1}"], counted["other"]) == (1, 1, 30)


def test_as_many_classes_as_the_limit_all_have_their_own_series(tmp_path):
    labels = [f"class-{index}" for index in range(MOST_LABELS)]
    monitoring = Monitoring(configuration(tmp_path), manifest_of(labels))
    monitoring.predicted([one_for(MOST_LABELS - 1, classes=MOST_LABELS)])
    assert predicted_labels(monitoring) == dict.fromkeys(labels, 0) | {labels[-1]: 1}
