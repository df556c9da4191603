"""Adapters that do not belong to the base model or to each other, or hold what no adapter holds, are refused with a sentence."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from adapter_artifacts import adapter_artifact, base_artifact, base_folder, rewrite
from served_adapters import berts_with_adapters, loaded, places, served
from server_process import configuration
from tiny_architectures import PAD

from tuneloop_server.adapters import read_manifests
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes import runtime_of


@pytest.fixture(scope="module")
def berts(tmp_path_factory):
    return berts_with_adapters(tmp_path_factory.mktemp("berts"))


@pytest.fixture
def copies(berts, tmp_path):
    """A BERT without a head and three adapters on it, to be damaged."""
    shutil.copytree(berts, tmp_path / "copies")
    return tmp_path / "copies"


def refusal(config):
    with pytest.raises(CannotServe) as raised:
        loaded(config)
    return str(raised.value)


def test_an_adapter_of_another_base_model_is_refused(copies, tmp_path):
    other = base_folder(tmp_path / "other", "distilbert")
    adapter_artifact(copies / "foreign", other, seed=9)
    found = refusal(served(copies / "base", *places(copies, "films", "foreign")))
    assert found.startswith(
        "spec.adapters: foreign: pvc://models/foreign: was trained on hf://tests/model, whose model.safetensors has SHA-256 "
    )
    assert found.endswith("allowed are adapters of one base model")


def test_a_base_model_that_is_not_that_of_the_adapters_is_refused(copies, tmp_path):
    other = base_folder(tmp_path / "other", "distilbert")
    found = refusal(served(other, *places(copies, "films")))
    assert found.startswith("pvc://models/reviews: model.safetensors: found ")
    assert found.endswith(
        "spec.model.uri must be the folder of hf://tests/model, on which the adapter films was trained"
    )


def test_a_base_artifact_that_is_not_that_of_the_adapter_is_refused(copies):
    base_artifact(copies / "artifact", "bert")
    found = refusal(served(copies / "artifact", *places(copies, "films")))
    assert "pvc://models/films: was trained on hf://tests/model, whose model.safetensors has SHA-256" in found


@pytest.mark.parametrize("labels", [("bad", "good", "fine"), ("bad", "good")])
def test_an_adapter_with_other_labels_is_refused(copies, labels):
    adapter_artifact(copies / "other", copies / "base", seed=4, labels=labels)
    found = refusal(served(copies / "base", *places(copies, "films", "other")))
    assert (
        f"other: pvc://models/other: has the labels {[*labels]}, pvc://models/films has ['bad', 'fine', 'good']"
        in found
    )


def test_an_adapter_of_another_task_is_refused(copies):
    adapter_artifact(copies / "tags", copies / "base", seed=4, task="token-classification")
    found = refusal(served(copies / "base", *places(copies, "films", "tags")))
    assert "has the task token-classification, pvc://models/films has text-classification" in found


def test_an_adapter_with_another_digest_is_refused(berts):
    wrong = f"sha256:{64 * '0'}"
    found = refusal(served(berts / "base", ("films", berts / "films", wrong)))
    assert f"expected {wrong}" in found


def test_an_adapter_that_does_not_name_its_base_is_refused(copies):
    rewrite(copies / "films", adapter_base=None)
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.endswith("it is of an older release; train the adapter again")


def test_a_whole_model_is_no_adapter(copies):
    base_artifact(copies / "whole", "bert")
    found = refusal(served(copies / "base", *places(copies, "whole")))
    assert (
        "whole: pvc://models/whole: has no adapter/adapter_model.safetensors, expected an adapter in safetensors"
        in found
    )


def test_an_adapter_in_place_of_the_model_says_where_it_belongs(copies):
    config = configuration(copies / "films")
    with pytest.raises(CannotServe, match=r"holds an adapter alone .* name it in spec\.adapters beside its base model"):
        read_manifests(config)


def test_a_pickle_is_no_adapter(copies):
    weights = copies / "films/adapter/adapter_model.safetensors"
    torch.save({}, weights.with_name("adapter_model.bin"))
    weights.unlink()
    rewrite(copies / "films")
    assert "has no adapter/adapter_model.safetensors" in refusal(served(copies / "base", *places(copies, "films")))


def test_a_pickle_under_the_name_of_safetensors_is_refused(copies, tmp_path):
    touched = tmp_path / "touched"

    class Touches:
        def __reduce__(self):
            return (type(touched).touch, (touched,))

    torch.save(Touches(), copies / "films/adapter/adapter_model.safetensors")
    rewrite(copies / "films")
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.startswith("spec.adapters: films: pvc://models/films: adapter/ cannot be loaded: ")
    assert not touched.exists()


def test_a_file_that_was_changed_is_refused_before_it_is_read(copies):
    path = copies / "films/adapter/adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4', '"r": 8'))
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert "pvc://models/films: adapter/adapter_config.json: found SHA-256" in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"peft_type": "IA3"}, "describes no LoRA adapter", id="another kind"),
        pytest.param({"megatron_config": {"a": 1}}, "megatron_config: {'a': 1} is not known to this server", id="an import"),
        pytest.param({"use_dora": True}, "use_dora: True is not known to this server, expected False", id="a variant"),
        pytest.param({"target_modules": "(a+)+$"}, "target_modules: (a+)+$ was given, expected a list", id="a pattern"),
        pytest.param({"target_modules": ["nothing"]}, "No modules were targeted", id="no layer"),
        pytest.param({"modules_to_save": []}, "neither the base model nor the adapter has", id="no head"),
        pytest.param({"r": 8}, "cannot be loaded", id="another rank"),
    ],
)  # fmt: skip
def test_settings_that_are_not_known_are_refused(copies, settings, words):
    path = copies / "films/adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    rewrite(copies / "films")
    found = refusal(served(copies / "base", *places(copies, "films")))
    assert found.startswith("spec.adapters: films: pvc://models/films: adapter/ cannot be loaded: ")
    assert words in found


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param({"pad_token_id": PAD + 1}, "config.json has pad_token_id 1, expected 0", id="padding"),
        pytest.param({"layer_norm_eps": 0.5}, "config.json has layer_norm_eps 0.5, expected 1e-12", id="numbers"),
    ],
)
def test_an_adapter_whose_model_computes_otherwise_is_refused(copies, setting, words):
    path = copies / "books/adapter/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    rewrite(copies / "books")
    found = refusal(served(copies / "base", *places(copies, "films", "books")))
    assert f"books: pvc://models/books: adapter/ cannot be loaded: ValueError: {words} as in the base model" in found


def test_the_engine_onnx_serves_no_adapters(berts):
    config = served(berts / "base", *places(berts, "films"), engine="onnx")
    with pytest.raises(
        CannotServe, match=r"spec\.adapters: runtime\.engine: onnx serves no adapters, allowed is torch"
    ):
        runtime_of(config)
