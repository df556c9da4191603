"""Masked language models of many architectures pass the rehearsal: they are trained, saved, exported and loaded, also where the output layer is the embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config
from tiny_masked import MASKED, save_masked
from tiny_models import tiny_bert

from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

ALWAYS = {("bert", "lora"), ("roberta", "full"), ("electra", "bitfit"), ("albert", "full"), ("modernbert", "lora")}
"""Cells that are not left to the full tests."""


def config_for(folder: Path, model: Path, method: str, **settings: Any) -> Any:
    names = ["Ada", "Lovelace", "Charles", "Babbage", "London", "Zugspitze", "Berg", "Deutschlands"]
    texts = [" ".join(names[number % 5 : number % 5 + 2 + number % 3]) + f" {number}" for number in range(60)]
    (folder / "texts.txt").write_text("\n".join(texts))
    return run_config(folder, task="fill-mask", model=model, sources=[folder / "texts.txt"], method={"type": method}, preflight={"rehearsal": True}, **settings)  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        pytest.param(architecture, method, marks=[] if (architecture, method) in ALWAYS else [pytest.mark.full])
        for architecture in MASKED
        for method in ("full", "lora", "ia3", "bitfit")
    ],
)
def test_a_masked_language_model_passes(tmp_path: Path, architecture: str, method: str) -> None:
    if (architecture, method) == ("modernbert", "bitfit"):
        pytest.skip("it has no biases but that of its output layer")
    config = config_for(tmp_path, save_masked(tmp_path / "model", architecture), method)
    assert prepare(config, Reporter(config)).rehearsal.startswith("trained, saved, exported and loaded this model")


def test_a_model_without_an_output_layer_is_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path, tiny_bert(tmp_path / "model"), "full")
    with pytest.raises(ModelAccessError, match="lacks .* weights of BertForMaskedLM"):
        prepare(config, Reporter(config))
