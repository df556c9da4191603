"""A job that asks for ONNX is rehearsed with it: what cannot be traced is refused before any GPU is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from run_configs import run_config
from tiny_models import sentences, write_csv
from transformers import BertForSequenceClassification

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.results import PrepareResult

ONNX = {"output": {"formats": ["safetensors", "onnx"]}}


def prepared(folder: Path, model: Path, **settings: Any) -> PrepareResult:
    write_csv(folder / "train.csv", sentences(200))
    asked = {"method": {"type": "full"}, "preflight": {"rehearsal": True}} | ONNX | settings
    config = run_config(folder, model=model, **asked)
    return prepare(config, Reporter(config))


def test_a_model_that_can_be_traced_passes(tmp_path, model):
    assert "loaded this model in " in prepared(tmp_path, model).rehearsal


def test_a_model_whose_trace_fits_the_traced_rows_alone_is_refused(tmp_path, model, monkeypatch):
    """Numbers that the code of a model computes in Python stay in the trace as they were for its rows."""
    plain = BertForSequenceClassification.forward

    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> Any:
        found = plain(self, input_ids=input_ids, attention_mask=attention_mask, **more)
        found.logits = found.logits * torch.tensor(attention_mask.sum(dim=1).tolist()).unsqueeze(1)
        return found

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    with pytest.raises(ConfigError) as raised:
        prepared(tmp_path, model)
    begins = "the rehearsal failed as the model was written as onnx: spec.output.formats: this model cannot be published as onnx: "
    assert raised.value.message.startswith(begins)
    assert raised.value.hint.startswith("leave onnx and onnx-int8 out of output.formats, or use a model of another")
