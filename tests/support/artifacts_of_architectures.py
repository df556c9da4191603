"""Artifacts with a random model of any architecture, for tests of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers
from artifact import write_manifest
from tiny_architectures import tiny_config
from tiny_models import SPECIAL, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from tuneloop_api.contract.model_inputs import MODEL_INPUTS
from tuneloop_server.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_api.contract.artifact import Manifest

MAX_TOKENS = 24


def save_artifact(
    folder: Path,
    model_type: str,
    *,
    task: str = "text-classification",
    padding_side: Literal["left", "right"] = "right",
    labels: Sequence[str] = ("no", "yes"),
    **options: Any,
) -> Manifest:
    """Write an artifact with a random model of an architecture; return its manifest."""
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tiny_tokenizer().backend_tokenizer,
        model_input_names=list(MODEL_INPUTS),
        padding_side=padding_side,
        **names,
    )
    config = tiny_config(model_type, labels)
    config.vocab_size = len(tokenizer)
    for name, value in options.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = getattr(transformers, TASKS[task].auto_class).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return write_manifest(folder, labels, name="n", max_tokens=MAX_TOKENS, temperature=1.0, task=task)
