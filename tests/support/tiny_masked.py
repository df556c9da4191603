"""Tiny masked language models of several architectures and all kinds of tokenizers, as artifacts in the layout that `export` publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artifact import write_manifest
from tiny_taggers import ARCHITECTURES, tiny_tagger_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

MASKED = ("albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
MASK = "<mask>"
_OF_TOKENIZER = ("model_inputs", "first_type_id", "prefix_space", "special", "padding_side")


def tiny_masked(folder: Path, architecture: str, *, max_tokens: int = 24, seed: int = 0) -> Manifest:
    """Write an artifact whose model has random weights; returns its manifest."""
    save_masked(folder / "model", architecture, max_tokens=max_tokens, seed=seed)
    return write_manifest(folder, [], name="masked", max_tokens=max_tokens, temperature=1.0, task="fill-mask")


def save_masked(
    folder: Path, architecture: str, *, max_tokens: int = 24, seed: int = 0, std: float | None = 0.35
) -> Path:
    """Write a masked language model with random weights, and its tokenizer; returns the folder. std: of all weights; None: as a model begins its training."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    tokenizer = masked_tokenizer(architecture, max_tokens=max_tokens)
    options = {name: value for name, value in ARCHITECTURES[architecture].items() if name not in _OF_TOKENIZER}
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForMaskedLM.from_config(config).eval()
        for parameter in model.parameters() if std is not None else ():
            torch.nn.init.normal_(parameter, std=std)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def masked_tokenizer(architecture: str, *, max_tokens: int = 24):
    """Return the tokenizer of `tiny_masked`: its mask token takes in the space before it, as that of RoBERTa does."""
    from transformers import AddedToken

    tokenizer = tiny_tagger_tokenizer(architecture, max_tokens=max_tokens)
    tokenizer.add_special_tokens({"mask_token": AddedToken(MASK, lstrip=True, special=True)})
    return tokenizer
