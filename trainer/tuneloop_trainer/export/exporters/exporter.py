"""The seam `Exporter`: one format in which the model is published, as a folder of the artifact. One format a file in this folder; `EXPORTERS` is the table.

Whatever the format, `parity` compares what its own files compute with what training measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

from tuneloop_api.contract.model_inputs import MODEL_INPUTS, TYPE_IDS
from tuneloop_trainer.dataset.shards import TOKENIZER, read_manifest
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from tuneloop_api.contract.results import PrepareResult, TrainResult
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.methods.method import Method
    from tuneloop_trainer.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class ExportInputs:
    """What every format is written from."""

    settings: Settings
    prepared: PrepareResult
    trained: TrainResult

    @property
    def task(self) -> Task:
        """The job's task."""
        return task_of(self.settings)

    @property
    def method(self) -> Method:
        """The job's method."""
        return method_of(self.settings.method)

    @property
    def pad_token_id(self) -> int:
        """Token that pads, as in training."""
        return read_manifest(Path(self.prepared.dataset_path)).tokenizer.pad_token_id

    def tokenizer(self) -> Any:
        """Return the tokenizer that made the training tokens, set to cut, pad, name the inputs and read special tokens as training did, with the chat template of the job."""
        tokenizer = AutoTokenizer.from_pretrained(Path(self.prepared.dataset_path) / TOKENIZER, local_files_only=True)
        tokenizer.model_max_length = self.prepared.resolved.max_tokens
        if self.task.reads_text_alone:
            tokenizer.padding_side = "right"
        if self.settings.model.chat_template is not None:
            tokenizer.chat_template = self.settings.model.chat_template
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = self.pad_token_id
        columns = read_manifest(Path(self.prepared.dataset_path)).splits["test"].token_columns
        names = [*MODEL_INPUTS, *([TYPE_IDS] if TYPE_IDS in columns else [])]
        is_text = self.task.reads_text_alone and not self.task.special_tokens_in_texts
        kept = {"model_input_names": names, "split_special_tokens": is_text}
        for name, value in kept.items():
            setattr(tokenizer, name, value)
            tokenizer.init_kwargs[name] = value  # transformers writes these fields alone to the files
        return tokenizer


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """One format in which the model is published."""

    folder: str
    """Name of its folder in the artifact."""
    format: str
    """As in `status.artifact.formats`."""
    library: str
    """Library that loads it, as the Hugging Face Hub calls it."""
    wanted: Callable[[ExportInputs], bool]
    """Whether the job asks for it."""
    write: Callable[[ExportInputs, Any, Path], Any]
    """(inputs, trained model, folder to write to) → the model for the exporters that follow."""
    load: Callable[[ExportInputs, Path], nn.Module]
    """(inputs, folder that was written) → the model from its own files, as anyone would load it, in evaluation mode."""
