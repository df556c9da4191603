"""A tiny model of every architecture that transformers has for a task, from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, PreTrainedTokenizerFast
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tuneloop_trainer.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

VOCABULARY = 64
PAD, BEGIN, END = 0, 1, 2

# by what the configurations call them
_HIDDEN = dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size", "d_latents"), 16)
_LAYERS = dict.fromkeys(
    ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
     "num_self_attends_per_block", "depth"), 2,
)  # fmt: skip
_HEADS = dict.fromkeys(
    ("num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads",
     "num_self_attention_heads", "num_cross_attention_heads", "linear_num_key_heads", "linear_num_value_heads", "index_n_heads"), 2,
)  # fmt: skip
_INNER = dict.fromkeys(
    ("intermediate_size", "d_inner", "d_ff", "hidden_dim", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "dff"), 32
)  # fmt: skip
_WORDS = dict.fromkeys(("vocab_size", "n_words", "emb_size"), VOCABULARY)
_POSITIONS = dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 64)
_EXPERTS = dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4) | {
    "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "mlp_hidden_size": 16,
}  # fmt: skip
_OTHERS = {
    "head_dim": 8, "d_kv": 8, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "index_head_dim": 8,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "gated_norm_rank": 4, "entity_vocab_size": 8, "entity_emb_size": 8,
    "pronunciation_vocab_size": 8, "shape_vocab_size": 8, "pronunciation_embed_dim": 8, "shape_embed_dim": 8, "max_2d_position_embeddings": 32,
    "max_xpath_tag_unit_embeddings": 12, "max_xpath_subs_unit_embeddings": 12, "tag_pad_id": 10, "subs_pad_id": 10, "max_depth": 4,
    "xpath_unit_hidden_size": 8, "num_latents": 8,
}  # fmt: skip
_TOKENS = {
    "pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END, "cls_token_id": BEGIN, "sep_token_id": END, "decoder_start_token_id": PAD,
}  # fmt: skip
_SMALL = _HIDDEN | _LAYERS | _HEADS | _INNER | _WORDS | _POSITIONS | _EXPERTS | _OTHERS | _TOKENS

_OWN: dict[str, dict[str, Any]] = {
    "axk1": {"n_group": 2, "topk_group": 1},
    "cohere_compass_text": {"rope_parameters": {key: {"rope_type": "default", "rope_theta": 10000.0} for key in ("full_attention", "sliding_attention")}},
    "funnel": {"architectures": ["FunnelModel"]},
    "gptj": {"rotary_dim": 4},
    "layoutlmv3": {"coordinate_size": 2, "shape_size": 4},
    "lilt": {"hidden_size": 24},
    "longformer": {"attention_window": 8},
    "mistral4": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 64}
    },
    "xmod": {"default_language": "en_XX"},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "reformer": {
        "attn_layers": ["local", "lsh"], "axial_pos_embds": False, "attention_head_size": 8, "feed_forward_size": 32,
        "local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8, "num_buckets": 2, "hash_seed": 0,
    },
    **{key: {"decoder_start_token_id": PAD} for key in ("t5", "mt5", "umt5")},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "attention_head_dim": 16, "attention_hidden_size": 32, "mamba_dt_rank": 4},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "n_mamba_heads": 2},
}  # fmt: skip
"""What a configuration wants besides."""


def tiny_config(model_type: str, labels: Sequence[str] = ()) -> Any:
    """Return the configuration of a tiny model; labels: class names in the order of their ids."""
    kind = CONFIG_MAPPING[model_type]
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: row for row, label in enumerate(labels)}}
    return kind(**_small(kind()) | _OWN.get(model_type, {}) | (named if labels else {}))


def _small(config: Any) -> dict[str, Any]:
    sizes = {name: _SMALL[name] for name in config.to_dict() if name in _SMALL}
    parts = {name: getattr(config, name, None) for name in config.sub_configs}
    return sizes | {name: type(part)(**_small(part)) for name, part in parts.items() if part is not None}


def save_base(folder: Path, model_type: str) -> None:
    """Write a pre-trained model without a head."""
    _save(folder, AutoModel, tiny_config(model_type))


def save_with_head(folder: Path, model_type: str, *, task: Task, labels: Sequence[str]) -> None:
    """Write a model that was trained for a task already."""
    _save(folder, getattr(transformers, task.auto_class), tiny_config(model_type, labels))


def _save(folder: Path, auto_class: Any, config: Any) -> None:
    """Write a model whose every parameter is far from its first value: also those that begin as 0 or 1 have a gradient that counts."""
    torch.manual_seed(0)
    model = auto_class.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)


def save_tokenizer(folder: Path) -> None:
    """Write a fast tokenizer of as many words as the tiny models have."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{number}" for number in range(4, VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)


def body_parameters(model_type: str) -> set[str]:
    """Return the names of the parameters of the pre-trained model without a head."""
    with torch.device("meta"):
        return {name for name, _ in AutoModel.from_config(tiny_config(model_type)).named_parameters()}


UNSUPPORTED = {
    "bros": "reads the places of the words on a page, too",
    "fnet": "takes no attention mask",
    "layoutlmv2": "reads an image, with the library detectron2",
    "perceiver": "its head is a decoder inside the body, which cannot be told from a body with parts missing",
    "reformer": "in training it reads texts of one fixed length alone",
}
"""Architectures that cannot be trained here, each with its reason. An architecture that is not named must work."""

_WITHOUT_MARK = {
    "text-classification": (
        "albert", "bart", "bert", "deberta-v2", "distilbert", "electra", "gpt2", "llama", "modernbert", "mpnet", "qwen2", "roberta", "t5", "xlnet",
    ),
    "token-classification": ("deberta-v2", "roberta"),
}  # fmt: skip
"""Architectures whose tests run always; those of all others are marked `full`. Several labels have the models of one label (tests/component/trainer/methods/test_several_labels.py)."""


def architectures() -> list[Any]:
    """Return (name of the task, model type) for every architecture of every task, as parameters of a test."""
    return [
        pytest.param(name, model_type, id=f"{name}-{model_type}", marks=_marks(name, model_type))
        for name in _WITHOUT_MARK
        for model_type in getattr(modeling_auto, TASKS[name].architectures)
    ]


def _marks(task: str, model_type: str) -> list[Any]:
    full = [] if model_type in _WITHOUT_MARK[task] else [pytest.mark.full]
    return [*full, pytest.mark.skip(UNSUPPORTED[model_type])] if model_type in UNSUPPORTED else full


def token_ids() -> torch.Tensor:
    """Return four rows of tokens that end with the end token, padded on the right."""
    ids = torch.randint(4, VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = END
    ids[0, 7:] = torch.tensor([END, PAD, PAD, PAD, PAD])
    return ids


def inputs(task: str = "") -> dict[str, torch.Tensor]:
    """Return the arguments of a forward pass. task: its name; a model that writes texts is given one to write."""
    labels = {"labels": token_ids()} if task == "text2text-generation" else {}
    return {"input_ids": token_ids(), "attention_mask": (token_ids() != PAD).long(), **labels}
