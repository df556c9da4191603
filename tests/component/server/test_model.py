"""Texts to tokens to logits, compared with plain transformers and torch."""

from __future__ import annotations

import os

import pytest
import torch
from artifact import make_artifact
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import configuration
from tiny_models import tiny_bert

from tuneloop_api.contract import cgroup
from tuneloop_server.runtimes.packed_linear import PackedLinear, pack_linears
from tuneloop_server.runtimes.threads import cores_within
from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION


@pytest.fixture(scope="module")
def classifier(artifact):
    return load(configuration(artifact.folder), artifact.manifest, TEXT_CLASSIFICATION)


@pytest.fixture(scope="module")
def tokenizer(artifact):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(artifact.folder / "model")


@settings(deadline=None)
@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_texts_become_the_tokens_that_transformers_makes_of_them(classifier, tokenizer, artifact, texts):
    expected = tokenizer(texts, truncation=True, max_length=artifact.manifest.max_tokens)["input_ids"]
    assert [window.ids for (window,) in classifier.encode(texts)] == expected


@pytest.mark.parametrize(
    ("words", "truncated"),
    [pytest.param(14, False, id="16 tokens with [CLS] and [SEP]"), pytest.param(15, True, id="17 tokens")],
)
def test_a_text_that_was_cut_is_marked(classifier, words, truncated):
    ((window,),) = classifier.encode(["film " * words])
    assert (len(window), window.truncated) == (16, truncated)


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_the_logits_of_a_text_do_not_depend_on_its_neighbours_in_the_batch(classifier, lengths):
    batch = [window for (window,) in classifier.encode(["fine " * length for length in lengths])]
    together = classifier.predict(batch)
    for window, logits in zip(batch, together, strict=True):
        (alone,) = classifier.predict([window])
        assert logits == pytest.approx(alone, abs=1e-5)


def test_an_encoder_on_the_cpu_computes_no_padding(classifier):
    assert not classifier.pads


def test_a_model_that_pads_on_the_left_predicts_the_same_in_a_batch(tmp_path):
    import json

    bert = tiny_bert(tmp_path / "bert")
    config = bert / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"padding_side": "left"}))
    manifest = make_artifact(tmp_path / "artifact", bert)
    left = load(configuration(tmp_path / "artifact"), manifest, TEXT_CLASSIFICATION)
    (short,), (long,) = left.encode(["fine", "a very long and tedious film"])
    assert left._padded([short, long])["attention_mask"].tolist() == [
        [0] * (len(long.ids) - len(short.ids)) + [1] * len(short.ids),
        [1] * len(long.ids),
    ]
    assert left.pads


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 40),
    inputs=st.integers(1, 70),
    outputs=st.integers(1, 70),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_packed_layer_computes_what_the_plain_one_does(rows, inputs, outputs, bias, seed):
    torch.manual_seed(seed)
    plain = torch.nn.Linear(inputs, outputs, bias=bias)
    values = torch.randn(2, rows, inputs)
    with torch.inference_mode():
        torch.testing.assert_close(PackedLinear(plain)(values), plain(values))


def test_only_plain_linear_layers_are_packed():
    class Special(torch.nn.Linear):
        pass

    model = torch.nn.Sequential(
        torch.nn.Linear(3, 3), torch.nn.Sequential(torch.nn.Linear(3, 3)), Special(3, 3), torch.nn.LayerNorm(3)
    )
    pack_linears(model)
    assert [type(layer) for layer in (model[0], model[1][0], model[2], model[3])] == [
        PackedLinear,
        PackedLinear,
        Special,
        torch.nn.LayerNorm,
    ]


@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        pytest.param(None, 8, id="no limit"),
        pytest.param(2.0, 2, id="2 cores"),
        pytest.param(1.5, 2, id="one and a half"),
        pytest.param(0.1, 1, id="a tenth"),
        pytest.param(1.00001, 2, id="a little more than one"),
        pytest.param(32.0, 8, id="more than there are"),
    ],
)
def test_threads_keep_within_the_containers_limit(quota, threads):
    assert cores_within(quota, cores=8) == threads


@pytest.fixture
def torch_threads():
    """Leave torch with as many threads as it had; returns that number."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        pytest.param({"cpu.max": "250000 100000\n"}, 3, id="version 2 of the control groups"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
            3,
            id="version 1 of the control groups",
        ),
        pytest.param({}, 4, id="no limit"),
    ],
)
def test_a_loaded_model_has_the_threads_that_the_container_can_keep_busy(
    artifact, tmp_path, monkeypatch, torch_threads, files, threads
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr(cgroup, "OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.delenv("OMP_NUM_THREADS")
    load(configuration(artifact.folder), artifact.manifest, TEXT_CLASSIFICATION)
    assert torch.get_num_threads() == threads


def test_a_number_of_threads_that_the_user_sets_stays(artifact, tmp_path, monkeypatch, torch_threads):
    (tmp_path / "cpu.max").write_text("250000 100000")
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    torch.set_num_threads(5)
    load(configuration(artifact.folder), artifact.manifest, TEXT_CLASSIFICATION)
    assert torch.get_num_threads() == 5
