"""Decoders small enough for tests, built by transformers from configurations, and a byte-level tokenizer with a chat template."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

END, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRIPS_EARLIER = "{% for message in messages %}{% if loop.last or message['role'] == 'user' %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
ALTERNATES = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{{ message['content'] + '\n' }}{% endfor %}"
)
COLOURS = {"grass": "green", "the sky": "blue", "snow": "white", "coal": "black", "blood": "red", "the sun": "yellow"}
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "llama": _SIZES | {"tie_word_embeddings": False},
    "smollm": _SIZES
    | {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 36, "tie_word_embeddings": True},
    "qwen2": _SIZES | {"tie_word_embeddings": True},
    "qwen3": _SIZES | {"head_dim": 8},
    "mistral": _SIZES | {"sliding_window": 64},
    "gemma": _SIZES | {"head_dim": 8},
    "gemma2": _SIZES | {"head_dim": 8, "sliding_window": 64},
    "gemma3_text": _SIZES | {"head_dim": 8, "sliding_window": 64},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "word_embed_proj_dim": 32,
    },
    "gpt_neox": _SIZES,
    "phi": _SIZES | {"num_key_value_heads": 4},
    "olmo2": _SIZES,
}
"""Settings of each architecture; `smollm` is a Llama with tied weights."""


def tiny_decoder(folder: Path, *, family: str = "gpt2", template: str | None = CHATML, seed: int = 0) -> Path:
    """Save a decoder of some 50,000 parameters and its tokenizer, which has no token that pads; returns the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = tiny_byte_tokenizer(template=template)
    tokenizer.save_pretrained(folder)
    kind = "llama" if family == "smollm" else family
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
        **FAMILIES[family],
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def tiny_byte_tokenizer(*, template: str | None = CHATML, end: str = END) -> Any:
    """Return a byte-level BPE of 300 tokens, which knows every text, and three special tokens. end: the token that ends a text."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_bpe()),
        eos_token=end,
        additional_special_tokens=[START_OF_TURN, END_OF_TURN],
        model_max_length=256,
    )
    fast.chat_template = template
    return fast


@cache
def _byte_bpe() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[END, START_OF_TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [f"what colour is {thing}? {colour}. user assistant" for thing, colour in COLOURS.items()], trainer
    )
    return str(tokenizer.to_str())


def pairs(count: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Return prompts and completions that a tiny model can learn, no two alike."""
    generator = np.random.default_rng(seed)
    things = list(COLOURS)
    found = []
    for number in range(count):
        thing = things[generator.integers(len(things))]
        found.append({"prompt": f"{number}: what colour is {thing}?", "completion": f" {COLOURS[thing]}."})
    return found


def conversations(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return conversations that a tiny model can learn, no two alike; some have several turns, some a system's."""
    found = []
    for number, pair in enumerate(pairs(count, seed=seed)):
        turns = [
            {"role": "user", "content": pair["prompt"]},
            {"role": "assistant", "content": pair["completion"].strip()},
        ]
        if number % 3 == 1:
            turns = [{"role": "system", "content": "Be brief."}, *turns]
        if number % 3 == 2:
            turns = [*turns, {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "yes."}]
        found.append({"messages": turns})
    return found


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
