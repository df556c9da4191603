"""How deep the parameters of an architecture lie, and how fast they learn."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_architectures import architectures, tiny_config
from torch import nn
from transformers import AutoModelForSequenceClassification

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.models.depth import depths, rate_factors
from tuneloop_trainer.models.head import head_modules


def model_of(model_type: str) -> Any:
    """Return a tiny classifier on the meta device, as `load_model` names its head."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(tiny_config(model_type, ["a", "b"]))
    model.head_modules = head_modules(model, ())
    return model


@pytest.mark.parametrize(
    ("model_type", "layers", "expected"),
    [
        ("bert", 2, {"bert.embeddings.word_embeddings": 0, "bert.encoder.layer.0.output.dense": 1, "bert.encoder.layer.1.output.dense": 2, "bert.pooler.dense": 2, "classifier": 3}),
        ("albert", 1, {"albert.encoder.embedding_hidden_mapping_in": 0, "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn": 1, "classifier": 2}),
        ("deberta-v2", 2, {"deberta.encoder.layer.1.output.dense": 2, "pooler.dense": 3}),
        ("distilbert", 2, {"distilbert.transformer.layer.0.ffn.lin1": 1, "pre_classifier": 3}),
        ("gpt2", 2, {"transformer.wte": 0, "transformer.wpe": 0, "transformer.h.1.mlp.c_fc": 2, "transformer.ln_f": 2, "score": 3}),
        ("llama", 2, {"model.embed_tokens": 0, "model.layers.0.mlp.up_proj": 1, "model.norm": 2, "score": 3}),
        ("modernbert", 2, {"model.embeddings.norm": 0, "model.final_norm": 2, "head.dense": 3}),
        ("xlnet", 2, {"transformer.word_embedding": 0, "transformer.layer.1.ff.layer_1": 2, "logits_proj": 3}),
        ("bart", 4, {"model.shared": 0, "model.decoder.embed_positions": 0, "model.encoder.layernorm_embedding": 0, "model.encoder.layers.1.fc1": 2, "model.decoder.layers.0.fc1": 3, "classification_head.dense": 5}),
        ("t5", 4, {"transformer.shared": 0, "transformer.encoder.block.1.layer.1.DenseReluDense.wi": 2, "transformer.encoder.final_layer_norm": 2, "transformer.decoder.final_layer_norm": 4}),
        ("opt", 2, {"model.decoder.embed_tokens": 0, "model.decoder.final_layer_norm": 2}),
        ("rembert", 2, {"rembert.embeddings.word_embeddings": 0, "rembert.encoder.layer.0.output.dense": 1}),
        ("xlm", 2, {"transformer.layer_norm_emb": 0, "transformer.attentions.0.q_lin": 1, "transformer.ffns.1.lin1": 2}),
    ],
)  # fmt: skip
def test_embeddings_are_lowest_and_the_head_is_highest(model_type, layers, expected):
    found, highest = depths(model_of(model_type))
    assert highest == layers
    assert {name: found[f"{name}.weight"] for name in expected} == expected


@pytest.mark.parametrize(
    ("task", "model_type"), [case for case in architectures() if case.values[0] == "text-classification"]
)
def test_the_layers_of_every_architecture_are_counted_one_by_one(task, model_type):
    del task  # tokens are classified by the same bodies
    model = model_of(model_type)
    found, layers = depths(model)
    assert set(found.values()) >= set(range(layers + 2))
    assert found.keys() == {name for name, _ in model.named_parameters()}
    tables = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    assert {found[name] for name in tables & found.keys() if not re.search(r"\.\d+\.", name)} <= {0}
    assert {found[name] for name in found if name.startswith(model.head_modules)} == {layers + 1}


def test_the_learning_rate_falls_by_the_factor_from_layer_to_layer():
    factors = rate_factors(model_of("bert"), 0.5)
    assert factors["classifier.weight"] == 1
    assert factors["bert.encoder.layer.1.output.dense.weight"] == 0.5
    assert factors["bert.encoder.layer.0.output.dense.weight"] == 0.25
    assert factors["bert.embeddings.word_embeddings.weight"] == 0.125


def test_a_model_without_a_list_of_layers_is_refused():
    model = nn.Sequential(nn.Embedding(4, 2), nn.Linear(2, 2))
    model.head_modules, model.base_model_prefix, model.config = ("1",), "0", SimpleNamespace(model_type="bag")
    with pytest.raises(ConfigError, match=r"spec\.training\.layerwiseLrDecay: bag keeps its layers in no list"):
        rate_factors(model, 0.5)
