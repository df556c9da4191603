"""Real models, small enough for unit tests: built by transformers from a configuration, saved in Hugging Face layout."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

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


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    """Write (text, label) rows as CSV; return the path."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def tiny_tokenizers() -> dict[str, Any]:
    """Return fast tokenizers of all kinds that models have, by name: what they do with spaces, case and unknown characters differs."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [" ".join(WORDS), *(text for text, _ in sentences(60)), "Ab, cd. -ef! 12 (345) café Zürich 日本 🙂"]
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    letters = pre_tokenizers.ByteLevel.alphabet()
    splitter = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    spaces = {scheme: pre_tokenizers.Metaspace(prepend_scheme=scheme) for scheme in ("always", "first", "never")}
    built = {
        "WordPiece": (models.WordPiece(unk_token="<unk>"), normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()),
        "WordPiece, cased": (models.WordPiece(unk_token="<unk>"), None, pre_tokenizers.BertPreTokenizer()),
        "words": (models.WordLevel(unk_token="<unk>"), None, pre_tokenizers.Whitespace()),
        "byte-level BPE": (models.BPE(), None, pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "byte-level BPE, prefix space": (models.BPE(), None, pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "byte-level BPE, offsets with spaces": (models.BPE(), None, pre_tokenizers.ByteLevel(trim_offsets=False)),
        "byte-level BPE behind a regex": (
            models.BPE(),
            None,
            pre_tokenizers.Sequence(
                [pre_tokenizers.Split(splitter, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
            ),
        ),
        "BPE, spaces as letters": (models.BPE(unk_token="<unk>"), normalizers.Replace(" ", "▁"), None),
        **{
            f"Unigram, {scheme} a prefix": (models.Unigram(), normalizers.NFKC(), space)
            for scheme, space in spaces.items()
        },
        "Unigram behind whitespace": (
            models.Unigram(),
            normalizers.NFKC(),
            pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces["always"]]),
        ),
    }  # fmt: skip
    found = {}
    for name, (model, normalizer, pre_tokenizer) in built.items():
        tokenizer = Tokenizer(model)
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        if pre_tokenizer is not None:
            tokenizer.pre_tokenizer = pre_tokenizer
        kind = type(model).__name__
        trainer = getattr(trainers, {"BPE": "BpeTrainer"}.get(kind, f"{kind}Trainer"))
        more = {"BPE": {"initial_alphabet": letters}, "Unigram": {"unk_token": "<unk>"}}.get(kind, {})
        tokenizer.train_from_iterator(
            texts, trainer(vocab_size=400, special_tokens=special, show_progress=False, **more)
        )
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
        found[name] = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
        )
    return found
