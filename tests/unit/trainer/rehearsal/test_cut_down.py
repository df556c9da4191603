"""A configuration with few layers and smaller widths."""

from __future__ import annotations

from tuneloop_trainer.rehearsal.cut_down import _cut

LLAMA = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128_256,
    "rope_parameters": {"rope_theta": 5e5},
}


def test_layers_are_cut_and_widths_stay() -> None:
    assert _cut(LLAMA, 1) == LLAMA | {"num_hidden_layers": 2}


def test_widths_are_divided_and_a_head_keeps_its_size() -> None:
    assert _cut(LLAMA, 16) == LLAMA | {
        "num_hidden_layers": 2,
        "hidden_size": 256,
        "intermediate_size": 896,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }


def test_every_kind_of_layer_is_kept() -> None:
    kinds = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 4
    cut = _cut({"num_hidden_layers": 16, "layer_types": kinds, "layers": [4, 4]}, 1)
    assert cut == {"num_hidden_layers": 4, "layer_types": kinds[:4], "layers": [4, 4]}


def test_both_stacks_and_inner_configurations_are_cut() -> None:
    cut = _cut({"encoder_layers": 12, "decoder_layers": 6, "text_config": {"n_layer": 24, "n_embd": 64}}, 2)
    assert cut == {"encoder_layers": 2, "decoder_layers": 2, "text_config": {"n_layer": 2, "n_embd": 32}}


def test_names_of_classes_are_left_alone() -> None:
    labels = {"label2id": {"dim": 3}, "id2label": {0: "dim"}}
    assert _cut(labels | {"dim": 8}, 2) == labels | {"dim": 4}


def test_no_width_becomes_nothing() -> None:
    assert _cut({"hidden_size": 6, "n_head": 2, "n_inner": None}, 4) == {"hidden_size": 1, "n_head": 1, "n_inner": None}
