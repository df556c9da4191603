"""`monitoring.json` as the export stage writes it, and the counts of a real server that is asked the same rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from finished_runs import MAX_TOKENS, RunMaker
from metrics_page import assert_documented, lint
from server_process import configuration, running_fork

from tuneloop_api.contract.monitoring_profile import MonitoringProfile
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_api.features.bins import usable_bins
from tuneloop_server.user_agent import COMPARATOR
from tuneloop_trainer.dataset.shards import open_split, read_texts
from tuneloop_trainer.export import projections
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.tasks import TASKS

EVALUATION = {"baselines": False, "bootstrapSamples": 100}
OUTPUT = {"formats": ["safetensors", "onnx"]}
LABELS = ("bad", "good", "mixed")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_bert):
    """A finished run whose texts are long in two of three rows, with words that the tokenizer does not know, and its artifact."""
    runs = RunMaker(folder=tmp_path_factory.mktemp("monitored"), tiny_bert=tiny_bert)
    config = runs.tiny(labels=LABELS, ending=" quux the film zork and a plot", evaluation=EVALUATION, output=OUTPUT)
    return config, export(config, SimpleNamespace(post=lambda **_: None))


@pytest.fixture(scope="module")
def texts(run) -> list[str]:
    return [text for _, text, _ in read_texts(dataset_of(run), "test")]


@pytest.fixture(scope="module")
def profile(run) -> MonitoringProfile:
    return MonitoringProfile.from_wire(json.loads((Path(run[1].artifact_path) / "monitoring.json").read_bytes()))


@pytest.fixture(scope="module", params=["torch", "onnx"])
def engine(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(engine, run, tmp_path_factory):
    config = configuration(Path(run[1].artifact_path), digest=run[1].digest, engine=engine)
    with running_fork(config, tmp_path_factory.mktemp("running")) as server:
        yield server


def dataset_of(run) -> Path:
    return Path(run[0].paths.datasets) / "d1"


def test_a_profile_has_all_features_of_a_text_and_of_the_task(profile):
    assert [feature.name for feature in profile.features] == [
        "text_characters",
        "text_tokens",
        "unknown_tokens",
        "truncated",
        "confidence",
        "entropy",
        "margin",
        "predicted_label",
        "projection_1",
        "projection_2",
        "projection_3",
        "projection_4",
    ]
    assert usable_bins(profile)


def test_each_row_of_the_test_split_is_in_one_bin_of_each_feature(profile, texts):
    assert (profile.split, profile.rows) == ("test", len(texts))
    assert {sum(feature.counts) for feature in profile.features} == {len(texts)}


def test_rows_are_truncated_where_the_whole_text_has_more_tokens(run, profile, texts):
    cut = sum(len(text.split()) + 2 > MAX_TOKENS for text in texts)
    (found,) = (feature for feature in profile.features if feature.name == "truncated")
    assert 0 < cut < len(texts)
    assert found.counts == [len(texts) - cut, cut]
    assert max(open_split(dataset_of(run), "test").lengths) == MAX_TOKENS


def test_a_profile_holds_no_text(run, texts):
    content = (Path(run[1].artifact_path) / "monitoring.json").read_text()
    assert not any(word in content for word in {word for text in texts for word in text.split()} if len(word) > 4)


def test_a_server_counts_the_rows_into_the_bins_that_the_trainer_did_whatever_protocol_asks(
    engine, server, texts, profile
):
    assert {name: sum(bins) for name, bins in server.feature_counts().items()} == {f.name: 0 for f in profile.features}
    half = len(texts) // 2
    assert server.ask({"inputs": texts[:half]}).status_code == 200
    tensor = {"name": "text", "shape": [len(texts) - half], "datatype": "BYTES", "data": texts[half:]}
    asked = server.client.post("/v2/models/reviews/infer", json={"inputs": [tensor]})
    assert asked.status_code == 200, asked.text
    reference = {feature.name: feature.counts for feature in profile.features}
    assert server.feature_counts() == reference
    headers = {"user-agent": COMPARATOR}
    assert server.client.post("/predict", json={"inputs": texts}, headers=headers).status_code == 200
    embedded = server.client.post("/v1/embeddings", json={"input": texts[:3], "model": "reviews"})
    assert embedded.status_code == (200 if engine == "torch" else 400), embedded.text
    assert server.feature_counts() == reference


def test_an_adapter_alone_has_no_projections_since_texts_of_adapters_are_not_counted(tmp_path, tiny_bert):
    runs = RunMaker(folder=tmp_path, tiny_bert=tiny_bert)
    method = MethodSettings(type="lora", rank=4)
    config = runs.tiny(method=method, evaluation=EVALUATION, output={"mergeAdapter": False})
    published = export(config, SimpleNamespace(post=lambda **_: None))
    profile = json.loads((Path(published.artifact_path) / "monitoring.json").read_bytes())
    assert "confidence" in {feature["name"] for feature in profile["features"]}
    assert not [feature["name"] for feature in profile["features"] if feature["name"].startswith("projection")]


def test_the_weights_of_a_model_that_is_too_large_are_not_read_for_projections(
    tmp_path, tiny_bert, monkeypatch, caplog
):
    def never(_inputs, _folder):
        raise AssertionError("the weights are read")

    (tmp_path / "model").symlink_to(tiny_bert)
    monkeypatch.setattr(projections, "MERGED", replace(projections.MERGED, load=never))
    monkeypatch.setattr(projections, "MOST_OPERATIONS", 1)
    monkeypatch.setattr(projections, "open_split", lambda *_: SimpleNamespace(lengths=np.full(200, 12)))
    inputs = SimpleNamespace(
        task=TASKS["text-classification"], prepared=SimpleNamespace(dataset_path=str(tmp_path / "d1"))
    )
    with caplog.at_level("INFO"):
        assert projections.projections_of(tmp_path, inputs, None, split="test") is None
    assert [record.message for record in caplog.records if record.name == projections.LOG.name] == [
        "no projections: the model can read 0 test rows in the time for it, 100 are needed"
    ]


def test_a_server_shows_the_features_as_the_page_says(server):
    text = server.client.get("/metrics").text
    assert_documented(text, "Model servers", "Model servers: features")
    assert lint(text) == []
