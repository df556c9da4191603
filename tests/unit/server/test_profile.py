"""`monitoring.json` of an artifact: what a server counts with, what it leaves alone, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from artifact import manifest_of

from tuneloop_api.contract.artifact import ArtifactFile
from tuneloop_api.contract.monitoring_profile import MonitoringProfile
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.features.text_classification import TEXT_CLASSIFICATION_FEATURES
from tuneloop_server.errors import CannotServe
from tuneloop_server.profile import MOST_BYTES, read_features
from tuneloop_trainer.data.formats.labels import LONGEST_LABEL
from tuneloop_trainer.data.steps.label_ids import MOST_LABELS

LABELS = ["no", "yes"]
PROFILE = {
    "version": 1,
    "task": "text-classification",
    "labels": LABELS,
    "temperature": 1.5,
    "split": "test",
    "rows": 4,
    "features": [
        {"name": "text_tokens", "edges": [4.5, 8.5], "counts": [1, 2, 1]},
        {"name": "entropy", "edges": [0.5], "counts": [3, 1]},
        {"name": "predicted_label", "categories": LABELS, "counts": [1, 3]},
    ],
}


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a text as `monitoring.json`; listed: the text that the manifest lists."""

    def read(text: str | dict, *, listed: str | None = None, features=TEXT_CLASSIFICATION_FEATURES):
        content = (text if isinstance(text, str) else json.dumps(text)).encode()
        (tmp_path / "monitoring.json").write_bytes(content)
        expected = content if listed is None else listed.encode()
        file = ArtifactFile(
            path="monitoring.json", size=len(expected), sha256=hashlib.sha256(expected).hexdigest()
        )  # fmt: skip
        return read_features(config(tmp_path), manifest_of(LABELS, files=[file]), features)

    return read


def config(folder) -> ServerConfig:
    return ServerConfig(
        namespace="team", name="reviews", revision="1", artifact_path=str(folder), artifact_uri="pvc://m/reviews"
    )


def with_feature(number: int, **fields) -> dict:
    features = [dict(feature) for feature in PROFILE["features"]]
    features[number] |= fields
    return PROFILE | {"features": features}


def with_projections(*directions: list[float]) -> dict:
    bins = {"edges": [0.0], "counts": [2, 2]}
    projections = [bins | {"name": f"projection_{k}", "direction": found} for k, found in enumerate(directions, 1)]
    return PROFILE | {"features": PROFILE["features"] + projections}


def bins_shown(features) -> dict[str, int]:
    counted, _ = features.collect()
    return {
        name: sum(sample.labels["feature"] == name for sample in counted.samples)
        for name in {sample.labels["feature"]: None for sample in counted.samples}
    }


def test_the_bins_of_a_profile_are_counted_into(read):
    assert bins_shown(read(PROFILE)) == {"text_tokens": 3, "entropy": 2, "predicted_label": 2}


def test_an_artifact_of_an_earlier_release_has_no_features(tmp_path):
    assert read_features(config(tmp_path), manifest_of(LABELS), TEXT_CLASSIFICATION_FEATURES) is None


def test_a_profile_that_was_written_out_by_the_trainer_is_read(read):
    assert bins_shown(read(json.dumps(MonitoringProfile.from_wire(PROFILE).to_wire(), indent=2))) == bins_shown(
        read(PROFILE)
    )


def test_projections_are_counted_into_their_bins(read):
    shown = bins_shown(read(with_projections([0.5, 0.5], [1.0, 0.0])))
    assert shown == {"text_tokens": 3, "entropy": 2, "predicted_label": 2, "projection_1": 2, "projection_2": 2}


def test_a_task_without_projections_counts_none_whatever_the_profile_has(read):
    features = replace(TEXT_CLASSIFICATION_FEATURES, has_projections=False)
    shown = bins_shown(read(with_projections([0.5, 0.5]), features=features))
    assert shown == {"text_tokens": 3, "entropy": 2, "predicted_label": 2}


def test_the_directions_of_a_large_model_are_read(read):
    direction = [-0.00012345] * 8192
    assert "projection_4" in bins_shown(read(json.dumps(with_projections(*[direction] * 4), indent=2)))


def test_features_and_fields_of_a_later_release_are_left_alone(read):
    later = with_feature(1, name="embedding_1", sketch=[1]) | {"drift": {}}
    assert bins_shown(read(later)) == {"text_tokens": 3, "predicted_label": 2}


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        ("{", "is not JSON"),
        ("[" * 5000, "is not JSON"),
        ("[1]", "is no profile of version 1: the document: "),
        (PROFILE | {"version": 2}, "is no profile of version 1: version: "),
        (json.dumps(with_feature(1, edges=[float("nan")])), "version 1: features.1.edges.0: Input should be a finite"),
        (with_feature(1, edges=[0.9, 0.1], counts=[1, 1, 1]), r"features\[1\].edges: \[0.9, 0.1\]… are not ascending"),
        (with_feature(1, counts=[1]), r"features\[1\].counts: 1 numbers for 2 bins"),
        (PROFILE | {"labels": ["yes", "no"]}, r"labels: \['yes', 'no'\], expected is what the manifest has"),
        (PROFILE | {"task": "token-classification"}, "task: token-classification, expected is"),
        (PROFILE | {"temperature": 2.5}, "temperature: 2.5, expected is what the manifest has, 1.5"),
        (with_feature(2, categories=["no"], counts=[1]), "the categories of predicted_label are not those"),
        (with_feature(2, categories=None, edges=[0.5]), "the categories of predicted_label are not those"),
        (with_feature(1, edges=None, categories=LABELS), "entropy has categories, it is a number and has edges"),
        (with_feature(0, edges=None, categories=list("abc")), "text_tokens has categories"),
        (with_feature(1, edges=list(range(10**6)), counts=[0] * (10**6 + 1)), r"bytes, at most 2097152 are allowed"),
        (with_feature(1, edges=list(range(300)), counts=[0] * 301), "they have 306 bins, at most 200 are allowed"),
        (with_feature(1, name="projection_1"), r"features\[1\]: projection_1 has no direction"),
        (with_feature(1, name="projection_2", direction=[]), r"features\[1\]: projection_2 has no direction"),
        (with_projections([0.5, 0.5], [1.0]), r"different lengths \(projection_1 2, projection_2 1\)"),
        (
            with_feature(1, name="projection_1", direction=[1.0], edges=None, categories=LABELS),
            "projection_1 has categories, it is a number and has edges",
        ),
        (with_feature(1, name="x" * MOST_BYTES), "at most 2097152 are allowed"),
    ],
)
def test_a_profile_that_cannot_be_counted_with_is_refused_with_a_sentence(read, profile, problem):
    with pytest.raises(CannotServe, match=rf"pvc://m/reviews: monitoring\.json: .*{problem}") as refused:
        read(profile)
    assert len(str(refused.value)) < 600


def test_the_profile_of_a_model_with_the_most_and_the_longest_labels_is_read(tmp_path):
    labels = [f"{number:03}" + "\x01" * (LONGEST_LABEL - 3) for number in range(MOST_LABELS)]
    choice = {"name": "predicted_label", "categories": labels[:50], "hasOther": True, "counts": [1] * 51}
    content = json.dumps(PROFILE | {"labels": labels, "features": [choice]}, indent=2).encode()
    (tmp_path / "monitoring.json").write_bytes(content)
    file = ArtifactFile(path="monitoring.json", size=len(content), sha256=hashlib.sha256(content).hexdigest())
    features = read_features(config(tmp_path), manifest_of(labels, files=[file]), TEXT_CLASSIFICATION_FEATURES)
    assert bins_shown(features) == {"predicted_label": 51}


def test_a_profile_that_is_not_what_was_published_is_refused(read):
    with pytest.raises(CannotServe, match=r"monitoring\.json: found SHA-256"):
        read(json.dumps(PROFILE), listed=json.dumps(PROFILE).replace("4.5", "5.5"))
