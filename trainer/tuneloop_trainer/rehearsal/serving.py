"""Loads the published model as the model server does, and asks it one question.

The server's own code is in a package that the trainer cannot import (`tuneloop_server/runtimes/torch_model.py`); the calls are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from tuneloop_trainer.errors import UserCodeError
from tuneloop_trainer.models.load import attention_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

_HINT = "save the model once with the transformers of this release (save_pretrained), or use another model"


def require_answer(folder: Path, text: str, *, task: Task, labels: Sequence[str]) -> None:
    """Raise UserCodeError if the server could not load `model/`, or could not answer one text."""
    model: Any
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    model, report = getattr(transformers, task.auto_class).from_pretrained(
        folder,
        config=config,
        attn_implementation=attention_of(config, task=task),
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    absent = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if absent:
        raise UserCodeError(f"the files lack {', '.join(absent[:5])}, or have them in another shape", hint=_HINT)
    found = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if found != list(labels):
        raise UserCodeError(f"config.json has the labels {found[:20]}, the job has {list(labels)[:20]}", hint=_HINT)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)
    if not tokenizer.is_fast:
        raise UserCodeError("its tokenizer has no tokenizer.json (fast tokenizer), which the server needs", hint=_HINT)
    inputs = tokenizer([text], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits
    if logits.shape[-1] != len(labels) or not torch.isfinite(logits).all():
        raise UserCodeError(
            f"the answer has {logits.shape[-1]} numbers for {len(labels)} labels, or one is not finite", hint=_HINT
        )
