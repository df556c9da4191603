"""`onnx/`: the model as an ONNX file in fp32, with its tokenizer and its configuration. ONNX Runtime loads it without torch.

The file is traced (TorchScript) on rows of the data. Batch and length stay open; what the trace has fixed by mistake is found by the comparison, which runs
batches of other shapes. `docs/decisions/0050` says why not torch's other exporter.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuneloop_api.contract.artifact import ONNX_FOLDER, ONNX_FP32, ONNX_MOST_BYTES
from tuneloop_api.contract.cgroup import usable_cores
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.model_inputs import MODEL_INPUTS
from tuneloop_api.features.text_vectors import VECTOR, mean_of_tokens, noting
from tuneloop_trainer.dataset.shards import open_split
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.export.exporters.exporter import Exporter, ExportInputs
from tuneloop_trainer.failures import failure_of, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from tuneloop_api.features.text_vectors import LastStates

OPSET = 17
"""The oldest with LayerNormalization; ONNX Runtime reads it since 1.12."""
_TRACED_ROWS = 2
_EXPORT_FAILS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, NotImplementedError)
_LEAVE_OUT = "leave onnx and onnx-int8 out of output.formats, or use a model of another architecture"


class OnnxSession(torch.nn.Module):
    """An ONNX file in the place of a model of transformers: takes and gives tensors, and computes in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if ONNX Runtime refuses the file."""
        super().__init__()
        import onnxruntime  # noqa: PLC0415  (only jobs that ask for ONNX need it)

        self._kind = path.parent.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no class in common
            raise not_as_onnx(f"ONNX Runtime cannot load the file: {first_line(error)}") from error
        self._names = {put.name for put in self._session.get_inputs()}

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """Return `logits`, and `text_vector` where the file has it. Raises ConfigError if the file cannot take tensors of this shape."""
        given = {name: tensor.numpy() for name, tensor in inputs.items() if name in self._names}
        try:
            found = self._session.run(None, given)
        except Exception as error:
            shape = "x".join(map(str, inputs[MODEL_INPUTS[0]].shape))
            raise not_as_onnx(f"ONNX Runtime cannot run a batch of {shape} tokens: {first_line(error)}") from error
        outputs = zip((put.name for put in self._session.get_outputs()), map(torch.from_numpy, found), strict=True)
        return SimpleNamespace(**dict(outputs))


class _Graph(torch.nn.Module):
    """A model of transformers with what ONNX knows: tensors in order in, tensors in order out."""

    def __init__(self, model: Any, last: LastStates | None) -> None:
        """last: of the model, where it has vectors of texts."""
        super().__init__()
        self.model = model
        self._last = last

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True).logits
        return (logits,) if self._last is None else (logits, mean_of_tokens(self._last.states, attention_mask))


def write_graph(model: Any, path: Path, example: Mapping[str, Tensor], *, has_vector: bool = True) -> None:
    """Write a model of transformers as an ONNX file with open batch and length.

    example: inputs [B, T] to trace, some of them padding. has_vector: the file gives vectors of texts, where the model has them. Raises ConfigError if the model is too large, or its code cannot be traced.
    """
    size = 4 * sum(parameter.numel() for parameter in model.parameters())
    if size > ONNX_MOST_BYTES:  # prepare refuses it, where it knows the sizes of the model
        raise not_as_onnx(f"its weights have {size} bytes, one ONNX file holds {ONNX_MOST_BYTES}")
    model.config.use_cache = False
    with noting(model) as last:
        is_by_token = model(**example).logits.ndim == 3
        has_vector = has_vector and last.vectors(example["attention_mask"]) is not None
        _export(model, path, example, last=last if has_vector else None, is_by_token=is_by_token)


def _export(
    model: Any, path: Path, example: Mapping[str, Tensor], *, last: LastStates | None, is_by_token: bool
) -> None:
    """last: of the model, where the file has vectors of texts."""
    open_axes = {0: "batch", 1: "tokens"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # on each Python number that becomes a constant: the comparison finds those that matter
            torch.onnx.export(
                _Graph(model, last).eval(),
                tuple(example[name] for name in MODEL_INPUTS),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(MODEL_INPUTS),
                output_names=["logits", *([VECTOR] if last else [])],
                dynamic_axes=dict.fromkeys(MODEL_INPUTS, open_axes)
                | {"logits": open_axes if is_by_token else {0: "batch"}}
                | ({VECTOR: {0: "batch"}} if last else {}),
            )
    except _EXPORT_FAILS as error:
        if failure_of(error).exit_code not in {ExitCode.USER_CODE, ExitCode.UNKNOWN}:
            raise  # no memory, no room
        raise not_as_onnx(
            f"{model.config.model_type} cannot be traced: {type(error).__name__}, {first_line(error)}"
        ) from error


def not_as_onnx(reason: str) -> ConfigError:
    """Return the error of a job that asks for ONNX, and whose model cannot be written so."""
    return ConfigError(f"spec.output.formats: this model cannot be published as onnx: {reason}", hint=_LEAVE_OUT)


def _example(inputs: ExportInputs) -> dict[str, Tensor]:
    """Return rows of the test split with a column of padding: a trace of rows without padding may lose the mask."""
    split = open_split(Path(inputs.prepared.dataset_path), "test")
    rows = np.arange(min(_TRACED_ROWS, len(split.rows)))
    batch = inputs.task.collate(split, rows, inputs.pad_token_id)
    padding = {"input_ids": inputs.pad_token_id, "attention_mask": 0}
    return {
        name: torch.from_numpy(np.pad(batch.inputs[name], ((0, 0), (0, 1)), constant_values=padding[name]))
        for name in MODEL_INPUTS
    }


def _wanted(inputs: ExportInputs) -> bool:
    return inputs.settings.output.asks_for_onnx


def _write(inputs: ExportInputs, model: Any, folder: Path) -> Any:
    folder.mkdir()
    write_graph(model, folder / ONNX_FP32, _example(inputs), has_vector=inputs.task.features.has_projections)
    model.config.save_pretrained(folder)
    inputs.tokenizer().save_pretrained(folder)
    return model


def _load(_: ExportInputs, folder: Path) -> nn.Module:
    return OnnxSession(folder / ONNX_FP32).eval()


ONNX = Exporter(folder=ONNX_FOLDER, format="onnx", library="onnx", wanted=_wanted, write=_write, load=_load)
