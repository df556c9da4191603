"""Models that write a text for a text, tiny and with random weights, and a synthetic task for them: words in reverse order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

WORDS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "kid", "lark")
PAD, END, UNKNOWN, BEGIN = 0, 1, 2, 3
_OF_BART = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 48, "decoder_start_token_id": BEGIN, "bos_token_id": BEGIN,
    "forced_eos_token_id": None,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": PAD},
    **{name: dict(_OF_BART) for name in ("bart", "marian", "mbart", "pegasus")},
}
"""By `model_type`."""


def tiny_writer(folder: Path, model_type: str = "t5", *, seed: int = 0, **config: Any) -> Path:
    """Save a model of two layers on each side, and its tokenizer of whole words, to a folder; returns the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(folder)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": PAD, "eos_token_id": END}
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(model_type, **ids | SIZES[model_type] | config))
    model.save_pretrained(folder)
    return folder


def word_tokenizer() -> Any:
    """Return a tokenizer that ends every text with its end token, as that of T5 does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "<s>", *WORDS, "reverse", ":"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=48
    )


def reversed_words(count: int, *, seed: int = 0, most: int = 5) -> list[dict[str, str]]:
    """Return rows whose target has the words of the source from the last to the first; no source stands twice."""
    generator = random.Random(seed)
    sources: dict[str, None] = {}
    while len(sources) < count:
        sources[" ".join(generator.choices(WORDS, k=generator.randint(1, most)))] = None
    return [{"source": source, "target": " ".join(reversed(source.split()))} for source in sources]


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write the rows as the format source-target reads them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
