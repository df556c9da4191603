"""A model's size without its weights, against the real model in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_configs import run_config
from tiny_models import tiny_bert

from tuneloop_trainer import methods
from tuneloop_trainer.preflight.model_shape import ModelShape, shape_of
from tuneloop_trainer.tasks.text_classification import load_model

CLASSES = 3
METHODS = [{"type": "full"}, {"type": "lora", "rank": 4}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


def shape(tmp_path: Path, folder: Path, method: dict[str, Any]) -> ModelShape:
    settings = run_config(tmp_path, model=folder, method=method).settings
    return shape_of(folder, settings, classes=CLASSES, longest=64, precision="fp32")


def real(tmp_path: Path, folder: Path, method: dict[str, Any]) -> Any:
    labels = [str(number) for number in range(CLASSES)]
    model = load_model(folder, labels=labels, pad_token_id=0, dropout=None, seed=0)
    return methods.build(model, run_config(tmp_path, model=folder, method=method).settings.method, seed=0).train()


def kept_bytes(model: Any, *, rows: int, tokens: int) -> int:
    """Run the model forward and sum what autograd keeps, without the parameters."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, mask = torch.zeros(rows, tokens, dtype=torch.int64), torch.ones(rows, tokens, dtype=torch.int64)
    mask[0, tokens // 2 :] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=ids, attention_mask=mask)
    assert output.logits.shape == (rows, CLASSES)
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["type"])
def test_parameters_are_counted_as_they_are_trained(tmp_path, folder, method):
    parameters = list(real(tmp_path, folder, method).parameters())
    found = shape(tmp_path, folder, method)
    assert found.parameters == sum(parameter.numel() for parameter in parameters)
    assert found.trainable == sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    assert found.largest == max(parameter.numel() for parameter in parameters if parameter.requires_grad)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["type"])
@pytest.mark.parametrize(("rows", "tokens"), [(2, 64), (8, 64), (5, 24)])
def test_what_the_forward_pass_keeps_is_what_autograd_keeps(tmp_path, folder, method, rows, tokens):
    planned = shape(tmp_path, folder, method).kept.of(rows=rows, tokens=tokens)
    assert planned == pytest.approx(kept_bytes(real(tmp_path, folder, method), rows=rows, tokens=tokens), rel=0.02)


def test_no_weight_is_read(tmp_path, folder, monkeypatch):
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
    assert shape(tmp_path, folder, {"type": "full"}).parameters > 0
    assert (torch.cuda.memory_allocated() if torch.cuda.is_available() else 0) == before
