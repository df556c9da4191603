"""Loads a published model as the model server does.

The server's own code is in a package that the trainer cannot import (`tuneloop_server/runtimes/torch_model.py`); the calls are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig

from tuneloop_trainer.models.load import attention_of

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task


def load_served(folder: Path, *, task: Task) -> tuple[Any, list[str]]:
    """Return the model in a folder in float32, in evaluation mode, and the names of the weights that the files lack or have in another shape.

    Raises whatever transformers raises.
    """
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
    return model.eval(), sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
