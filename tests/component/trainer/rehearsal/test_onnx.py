"""A job that asks for ONNX is rehearsed with it: what cannot be traced is refused before any GPU is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_configs import run_config
from tiny_architectures import VOCABULARY, save_base, save_tokenizer

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_api.contract.results import PrepareResult

WORDS = [f"w{number}" for number in range(4, VOCABULARY)]
ONNX = {"output": {"formats": ["safetensors", "onnx"]}}


def prepared(folder: Path, model: Path, **settings: Any) -> PrepareResult:
    rows = [f"{' '.join(WORDS[number % 40 :][: 6 + number % 7])},{number % 2}" for number in range(200)]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows]))
    asked = {"method": {"type": "full"}, "preflight": {"rehearsal": True}} | ONNX | settings
    config = run_config(folder, model=model, **asked)
    return prepare(config, Reporter(config))


def test_a_model_that_can_be_traced_passes(tmp_path, model):
    assert "loaded this model in " in prepared(tmp_path, model).rehearsal


def test_a_model_whose_trace_gives_other_logits_is_refused(tmp_path):
    """Funnel counts its tokens in Python: the trace keeps the count of the rows that it was made with."""
    save_base(tmp_path / "funnel", "funnel")
    save_tokenizer(tmp_path / "funnel")
    with pytest.raises(ConfigError) as raised:
        prepared(tmp_path, tmp_path / "funnel")
    begins = "the rehearsal failed as the model was written as onnx: spec.output.formats: this model cannot be published as onnx: "
    assert raised.value.message.startswith(begins)
    assert raised.value.hint.startswith("leave onnx and onnx-int8 out of output.formats, or use a model of another")
