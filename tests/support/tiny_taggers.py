"""Tiny models that tag tokens, of many architectures and all kinds of tokenizers, as artifacts in the layout that `export` publishes."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from artifact import write_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC")
CORPUS = [
    "Ada Lovelace met Charles Babbage in London, near St. James's Square.",
    "Die Zugspitze ist Deutschlands höchster Berg; Österreich liegt nebenan.",
    "L'été, Zoë et François vont à Saint-Étienne.",
    "東京は日本の首都です。 Москва — столица России.",
    "Naïve café: 👩‍👩‍👧‍👦 and 🇩🇪, 𝒳 beyond the plane; e\u0301 combined.",
]
_SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 80,
}
WORDPIECE: dict[str, dict[str, Any]] = {
    "bert": _SIZES | {"model_inputs": ["input_ids", "token_type_ids", "attention_mask"]},
    "electra": _SIZES | {"embedding_size": 16, "model_inputs": ["input_ids", "token_type_ids", "attention_mask"]},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 80},
    "mpnet": _SIZES,
}
BYTE_LEVEL_BPE: dict[str, dict[str, Any]] = {
    "roberta": _SIZES | {"prefix_space": True},
    "modernbert": _SIZES | {"global_attn_every_n_layers": 1},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 80, "special": False},
    "qwen2": _SIZES | {"num_key_value_heads": 2, "special": False},
}
UNIGRAM: dict[str, dict[str, Any]] = {
    "xlm-roberta": _SIZES,
    "camembert": _SIZES,
    "albert": _SIZES | {"embedding_size": 16, "model_inputs": ["input_ids", "token_type_ids", "attention_mask"]},
    "deberta-v2": _SIZES,
    "xlnet": {
        "d_model": 16,
        "n_layer": 2,
        "n_head": 2,
        "d_inner": 32,
        "model_inputs": ["input_ids", "token_type_ids", "attention_mask"],
        "first_type_id": 2,
        "padding_side": "left",
    },
}
ARCHITECTURES = WORDPIECE | BYTE_LEVEL_BPE | UNIGRAM


def tiny_tagger(folder: Path, architecture: str, *, max_tokens: int = 24, seed: int = 0) -> Manifest:
    """Write an artifact whose model has random weights and finds different tags; returns its manifest."""
    from transformers import AutoConfig

    options = dict(ARCHITECTURES[architecture])
    for name in _OWN:
        options.pop(name, None)
    tokenizer = tiny_tagger_tokenizer(architecture, max_tokens=max_tokens)
    labels = dict(enumerate(LABELS))
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
        **options,
    )
    model = next(
        model
        for model in (_random_model(config, seed=seed + further) for further in count())
        if _tags_differ(model, tokenizer)
    )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return write_manifest(
        folder, LABELS, name="tagger", max_tokens=max_tokens, temperature=1.5, task="token-classification"
    )


def _random_model(config: Any, *, seed: int) -> Any:
    import torch
    from transformers import AutoModelForTokenClassification

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForTokenClassification.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.35)
    return model


def _tags_differ(model: Any, tokenizer: Any) -> bool:
    """Whether a model finds more than one tag: one in twenty does not, and a tokenizer is trained a little differently each time."""
    import torch

    with torch.no_grad():
        inputs = [tokenizer(text, truncation=True, return_tensors="pt")["input_ids"] for text in CORPUS]
        return len({tag for ids in inputs for tag in model(input_ids=ids).logits.argmax(-1)[0].tolist()}) > 1


_OWN: dict[str, Any] = {
    "model_inputs": ["input_ids", "attention_mask"],
    "first_type_id": 0,
    "prefix_space": False,
    "special": True,
    "padding_side": "right",
}
"""Options of the tokenizer; the others are the model's."""


def tiny_tagger_tokenizer(architecture: str, *, max_tokens: int = 24):
    """Return the tokenizer of `tiny_tagger`."""
    own = {name: ARCHITECTURES[architecture].get(name, default) for name, default in _OWN.items()}
    return tagger_tokenizer(architecture, max_tokens=max_tokens, **own)


def tagger_tokenizer(
    architecture: str,
    *,
    max_tokens: int,
    model_inputs: list[str],
    first_type_id: int,
    prefix_space: bool,
    special: bool,
    padding_side: str,
):
    """Return a fast tokenizer of the architecture's kind, trained on `CORPUS`.

    first_type_id: `token_type_ids` of the first special token. special: whether it adds special tokens to a text.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    if architecture in WORDPIECE:
        tokenizer = _wordpiece()
    elif architecture in BYTE_LEVEL_BPE:
        tokenizer = _byte_level_bpe(prefix_space=prefix_space)
    else:
        tokenizer = _unigram()
    if special and architecture in BYTE_LEVEL_BPE:
        ids = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
        tokenizer.post_processor = processors.RobertaProcessing(*ids, trim_offsets=True, add_prefix_space=prefix_space)
    elif special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"<s>:{first_type_id} $A </s>",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=None if architecture in BYTE_LEVEL_BPE else "<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=max_tokens,
        model_input_names=model_inputs,
        padding_side=padding_side,
    )


_SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]


def _wordpiece():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=220, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _byte_level_bpe(*, prefix_space: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def _unigram():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=220, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer
