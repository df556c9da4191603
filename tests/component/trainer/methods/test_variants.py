"""Settings of methods that change what is trained: layers that are frozen, layers that IA3 scales, and what the model card says of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_architectures import PAD, inputs, save_base
from transformers import AlbertConfig, AlbertModel, LlamaConfig, LlamaModel

from tuneloop_api.combinations.table import PROMPTS
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods import METHODS, method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.source import room_for_text
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

LABELS = ["bad", "fine", "good"]


def built(folder: Any, model_type: str, **settings: Any) -> Any:
    save_base(folder, model_type)
    model = load_model(folder, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=PAD, dropout=0.0, seed=1)
    method = MethodSettings(**settings)
    return method_of(method).build(model, method, task=TEXT_CLASSIFICATION, seed=1)


def names_of(model: Any, *, trained: bool) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad == trained}


@pytest.mark.parametrize(
    ("model_type", "patterns", "frozen"),
    [
        pytest.param("bert", ["embeddings"], ("bert.embeddings.",), id="embeddings"),
        pytest.param("bert", ["embeddings", r"layer\.[0-0]\."], ("bert.embeddings.", "bert.encoder.layer.0."), id="and the first layers"),
        pytest.param("gpt2", [r"^transformer\.w[tp]e"], ("transformer.wte.", "transformer.wpe."), id="of a decoder"),
        pytest.param("bert", ["."], ("bert.",), id="all but the head"),
    ],
)  # fmt: skip
def test_parameters_whose_names_match_are_frozen_and_the_head_never(
    tmp_path: Any, model_type: str, patterns: list[str], frozen: tuple[str, ...]
) -> None:
    model = built(tmp_path, model_type, type="full", freeze=patterns)
    names = names_of(model, trained=True) | names_of(model, trained=False)
    assert names_of(model, trained=False) == {name for name in names if name.startswith(frozen)}
    assert any(name.startswith(("classifier", "score")) for name in names_of(model, trained=True))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nothing_like_it", r"spec\.method\.freeze: nothing_like_it is found in no name of a parameter below the head"),
        ("classifier", r"spec\.method\.freeze: classifier is found in no name"),
        ("[a", r"spec\.method\.freeze: \[a is no regular expression: unterminated character set"),
    ],
)
def test_a_pattern_that_freezes_nothing_is_refused(tmp_path: Any, pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        built(tmp_path, "bert", type="full", freeze=["embeddings", pattern])
    assert "for example" in (refused.value.hint or "")


def test_ia3_begins_as_the_model_without_it(tmp_path: Any) -> None:
    plain = built(tmp_path, "roberta", type="full").eval()
    model = built(tmp_path, "roberta", type="ia3").eval()
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs()).logits, plain(**inputs()).logits)


@pytest.mark.parametrize(
    ("targets", "shapes"),
    [
        pytest.param(["key", "value"], {(16, 1)}, id="outputs"),
        pytest.param(["output.dense"], {(1, 16), (1, 32)}, id="inputs of the second layer of the feed-forward part"),
    ],
)
def test_ia3_scales_outputs_or_the_inputs_of_a_feed_forward_layer(
    tmp_path: Any, targets: list[str], shapes: set[tuple[int, ...]]
) -> None:
    model = built(tmp_path, "bert", type="ia3", target_modules=targets)
    factors = {tuple(parameter.shape) for name, parameter in model.named_parameters() if ".ia3_l." in name}
    assert factors == shapes


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_a_layer_that_is_not_there_is_named_with_those_that_are(tmp_path: Any, method: str) -> None:
    with pytest.raises(
        ConfigError, match=r"spec\.method\.targetModules: \['no_such'\] names no layer of this model"
    ) as refused:
        built(tmp_path, "bert", type=method, target_modules=["no_such"])
    assert "dense, key, query, value" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("settings", "merged", "text"),
    [
        ({"type": "full"}, False, "all parameters"),
        ({"type": "full", "freeze": ["embeddings", "a.b"]}, False, "all parameters but those named `embeddings`, `a.b`"),
        ({"type": "lora"}, True, "rank 16, alpha 32, dropout 0.05, all-linear; merged into the weights"),
        ({"type": "lora", "use_dora": True, "use_rslora": True}, False, "DoRA, rsLoRA, rank 16, alpha 32, dropout 0.05, all-linear; not merged"),
        ({"type": "p-tuning"}, False, "20 virtual tokens"),
        ({"type": "ia3", "target_modules": ["key", "value"]}, True, "a factor for each output of key, value; merged into the weights"),
    ],
)  # fmt: skip
def test_the_model_card_says_what_was_trained(settings: dict[str, Any], merged: bool, text: str) -> None:
    method = MethodSettings(**settings)
    assert method_of(method).describe(method, merged) == text


def test_rslora_and_dora_reach_the_layers(tmp_path: Any) -> None:
    plain, scaled = (
        built(tmp_path / name, "bert", type="lora", rank=4, use_rslora=is_scaled, use_dora=True)
        for name, is_scaled in (("plain", False), ("scaled", True))
    )
    layer = "base_model.model.bert.encoder.layer.0.attention.self.query"
    assert (plain.get_submodule(layer).scaling, scaled.get_submodule(layer).scaling) == (
        {"default": 2.0},
        {"default": 4.0},
    )
    assert any("lora_magnitude_vector" in name for name in names_of(plain, trained=True))


@pytest.mark.parametrize(
    ("longest", "virtual", "room"),
    [(64, 20, 44), (64, 56, 8), (None, 512, None)],
    ids=["20 of 64", "the most", "no limit"],
)
def test_virtual_tokens_shorten_the_texts(longest: int | None, virtual: int, room: int | None) -> None:
    method = MethodSettings(type="prompt", virtual_tokens=virtual)
    assert room_for_text(longest, reserved=method_of(method).reserves(method)) == room


def test_virtual_tokens_must_leave_room_for_a_text() -> None:
    with pytest.raises(ConfigError, match=r"spec\.method\.virtualTokens: 57 leave 7 of the 64 tokens") as refused:
        room_for_text(64, reserved=57)
    assert refused.value.hint == "set method.virtualTokens to at most 56"


@pytest.mark.parametrize("method", [name for name in METHODS if name not in PROMPTS])
def test_other_methods_leave_texts_as_long_as_they_are(method: str) -> None:
    assert METHODS[method].reserves(MethodSettings(type=method, virtual_tokens=9)) == 0


@pytest.mark.parametrize("method", PROMPTS)
def test_as_many_virtual_tokens_are_trained_as_the_job_asks_for(tmp_path: Any, method: str) -> None:
    model = built(tmp_path, "bert", type=method, virtual_tokens=7)
    assert model.get_parameter("prompt_encoder.default.embedding.weight").shape[0] == 7
    assert not any(
        name.startswith("base_model.bert.") for name in names_of(model, trained=True) if "modules_to_save" not in name
    )


def test_prompts_have_the_size_of_embeddings_where_layers_are_wider(tmp_path: Any) -> None:
    config = AlbertConfig(
        vocab_size=64,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    AlbertModel(config).save_pretrained(tmp_path)
    model = load_model(tmp_path, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=PAD, dropout=0.0, seed=1)
    trained = method_of(MethodSettings(type="prompt")).build(
        model, MethodSettings(type="prompt"), task=TEXT_CLASSIFICATION, seed=1
    )
    assert trained.prompt_encoder.default.embedding.weight.shape == (20, 8)
    assert trained(**inputs()).logits.shape == (4, len(LABELS))


@pytest.mark.parametrize(
    ("heads", "head_size"), [(1, 4), (2, 8)], ids=["one head for all queries", "wider than the hidden size says"]
)
def test_a_prefix_has_the_shape_of_keys_where_queries_have_more_heads(
    tmp_path: Any, heads: int, head_size: int
) -> None:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=heads,
        head_dim=head_size,
        pad_token_id=PAD,
    )
    LlamaModel(config).save_pretrained(tmp_path)
    model = load_model(tmp_path, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=PAD, dropout=0.0, seed=1)
    prefix = MethodSettings(type="prefix", virtual_tokens=3)
    trained = method_of(prefix).build(model, prefix, task=TEXT_CLASSIFICATION, seed=1)
    keys_and_values = 2 * config.num_hidden_layers * heads * head_size
    assert trained.get_parameter("prompt_encoder.default.embedding.weight").shape == (3, keys_and_values)
    assert trained(**inputs()).logits.shape == (4, len(LABELS))


@pytest.mark.parametrize(
    ("method", "model_type", "reason"),
    [
        ("prefix", "falcon", "and falcon takes them in another shape or form than PEFT makes them"),
        (
            "prefix",
            "roformer",
            "with roformer and task: text-classification: PEFT would give its head .* in place of the states of the text",
        ),
        ("prefix", "albert", r"and albert takes none \(past_key_values\)"),
        ("p-tuning", "longformer", "and longformer reads ids of tokens alone"),
    ],
)
def test_a_model_that_fails_with_virtual_tokens_is_refused_by_its_type(
    tmp_path: Any, method: str, model_type: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^spec\.method\.type: .* {reason}$") as refused:
        built(tmp_path, model_type, type=method)
    assert (refused.value.hint or "").startswith("use method.type: lora")
