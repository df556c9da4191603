"""Loads the published model as the model server does, and asks it one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer

from tuneloop_trainer.errors import UserCodeError
from tuneloop_trainer.models.load_served import load_served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

_HINT = "save the model once with the transformers of this release (save_pretrained), or use another model"


def require_answer(folder: Path, text: str, *, task: Task, labels: Sequence[str]) -> None:
    """Raise UserCodeError if the server could not load `model/`, or could not answer one text."""
    model, absent = load_served(folder, task=task)
    if absent:
        raise UserCodeError(f"the files lack {', '.join(absent[:5])}, or have them in another shape", hint=_HINT)
    found = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if task.has_new_head and found != list(labels):
        raise UserCodeError(f"config.json has the labels {found[:20]}, the job has {list(labels)[:20]}", hint=_HINT)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True, use_fast=True)
    if not tokenizer.is_fast:
        raise UserCodeError("its tokenizer has no tokenizer.json (fast tokenizer), which the server needs", hint=_HINT)
    inputs = tokenizer([text], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        if task.generation is not None:
            model.generate(**inputs)
            return
        logits = task.head_values(model(**inputs))
    numbers = len(labels) if task.has_new_head else model.config.get_text_config().vocab_size
    if logits.shape[-1] != numbers or not torch.isfinite(logits).all():
        raise UserCodeError(
            f"the answer has {logits.shape[-1]} numbers, {numbers} are expected, or one is not finite", hint=_HINT
        )
