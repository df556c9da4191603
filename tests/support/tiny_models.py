"""Real models, small enough for unit tests: built by transformers from a configuration, saved in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path

WORDS = [
    "a",
    "bad",
    "best",
    "boring",
    "bright",
    "brilliant",
    "but",
    "cast",
    "clever",
    "cold",
    "dull",
    "ending",
    "fails",
    "film",
    "fine",
    "flat",
    "for",
    "fresh",
    "fun",
    "funny",
    "good",
    "great",
    "in",
    "is",
    "it",
    "joy",
    "lively",
    "long",
    "mess",
    "movie",
    "no",
    "not",
    "of",
    "poor",
    "rich",
    "sad",
    "script",
    "slow",
    "smart",
    "so",
    "story",
    "sweet",
    "tale",
    "tedious",
    "the",
    "this",
    "to",
    "too",
    "tired",
    "very",
    "warm",
    "was",
    "weak",
    "with",
    "witty",
    "wonderful",
    "worst",
]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_bert(folder: Path, *, max_positions: int = 64, weights: bool = True, seed: int = 0) -> Path:
    """Save a two-layer BERT (about 14,000 parameters) and its tokenizer to a folder; returns the folder."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(max_positions=max_positions)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=max_positions,
    )
    if weights:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            BertModel(config).save_pretrained(folder)
    else:
        config.save_pretrained(folder)
    return folder


def tiny_tokenizer(*, max_positions: int = 64):
    """Return a WordPiece tokenizer that knows `WORDS` and single letters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = dict.fromkeys((*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)))
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_positions)


def sentences(count: int, *, classes: int = 2, seed: int = 0) -> list[tuple[str, str]]:
    """Return distinct (text, label) rows whose label can be learned: each class has words of its own."""
    import random

    source = random.Random(seed)
    own = [WORDS[index::classes] for index in range(classes)]
    rows = {}
    while len(rows) < count:
        label = len(rows) % classes
        rows[" ".join(source.choices(own[label], k=source.randint(3, 12)))] = f"class-{label}"
    return list(rows.items())
