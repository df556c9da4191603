"""Tiny models of many architectures, with weights far from those that training begins with, so that a token of another row would show in a loss."""

from __future__ import annotations

from typing import Any

from tiny_language_models import FAMILIES

VOCABULARY = 200
PAD = 1
_ENCODER: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 128,
}  # fmt: skip
_WINDOW: dict[str, Any] = {"sliding_window": 16}
"""Shorter than the rows of the tests: a window that a mask forgets would show."""
DECODERS: dict[str, dict[str, Any]] = {
    **FAMILIES,
    **{name: FAMILIES[name] | _WINDOW for name in ("mistral", "gemma2", "gemma3_text")},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "attention_types": [[["global", "local"], 1]], "num_heads": 4, "window_size": 16, "max_position_embeddings": 128},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": False},
}  # fmt: skip
ENCODERS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), _ENCODER),
    **dict.fromkeys(("albert", "electra"), _ENCODER | {"embedding_size": 16}),
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 128},
    "modernbert": _ENCODER | {"num_hidden_layers": 4, "local_attention": 16},
    "deberta-v2": _ENCODER | {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]},
}
TOKEN_OF_ANOTHER_ROW_SHOWS = ("opt", "bloom", "falcon")
"""Architectures that do not keep the rows of a line apart: their masks do not heed positions."""
NOT_TAKEN = ("deberta-v2",)
"""Architectures whose code does not take a mask for each token."""


def packable_model(name: str, *, attention: str | None = None, seed: int = 0) -> Any:
    """Return a model without dropout. attention: `sdpa` or `eager`; None: as in training."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    auto_class, options = (AutoModelForCausalLM, DECODERS) if name in DECODERS else (AutoModelForMaskedLM, ENCODERS)
    kind = "llama" if name == "smollm" else name
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": PAD, "use_cache": False}
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **special, **options[name])
    has_sdpa = auto_class._model_mapping[type(config)]._supports_sdpa
    torch.manual_seed(seed)
    model = auto_class.from_config(config, attn_implementation=attention or ("sdpa" if has_sdpa else "eager")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.1)
    model.head_modules = model.new_modules = ()  # as `load_model` sets them
    return model
