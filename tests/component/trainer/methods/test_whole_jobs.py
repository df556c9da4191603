"""Whole jobs of methods that publish adapters: prepared, trained in a process of its own, exported, and loaded by PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from run_configs import run_config
from safetensors.torch import load_file
from tiny_models import sentences, tiny_bert, write_csv
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from whole_job import Job

from tuneloop_trainer.dataset.shards import read_texts

POSITIONS = 16
"""Of the model. Some texts have 14 tokens: where a prefix takes 5 positions, they are cut."""


def job_of(folder: Path, *, method: dict[str, Any], merge: bool) -> Job:
    config = run_config(
        folder,
        sources=[write_csv(folder / "train.csv", sentences(400))],
        model=tiny_bert(folder / "model", max_positions=POSITIONS),
        method=method,
        training={"maxSteps": 12, "microBatchSize": 16, "learningRate": 3e-2},
        checkpoint={"everySteps": 6},
        evaluation={"bootstrapSamples": 100},
        output={"mergeAdapter": merge},
    )
    return Job(config)


@pytest.mark.parametrize(
    ("method", "merge", "parts", "longest"),
    [
        pytest.param({"type": "prefix", "virtualTokens": 5}, False, {"adapter"}, POSITIONS - 5, id="prefix"),
        pytest.param({"type": "ia3"}, True, {"adapter", "model"}, POSITIONS, id="ia3"),
    ],
)
def test_peft_and_transformers_give_the_answers_that_training_measured(
    tmp_path: Path, method: dict[str, Any], merge: bool, parts: set[str], longest: int
) -> None:
    job = job_of(tmp_path, method=method, merge=merge)
    prepared, trained, artifact = job.prepare(), job.train(), Path(job.export().artifact_path)
    assert prepared.resolved.max_tokens == longest
    assert {path.name for path in artifact.iterdir() if path.is_dir()} == parts
    texts = [text for _, text, _ in read_texts(Path(prepared.dataset_path), "test")]
    before, measured = (load_file(trained.predictions[name])["logits"] for name in ("before-test", "test"))
    assert (measured - before).abs().max() > 1e-2
    for part in parts:
        found = logits(artifact / part, texts, base=tmp_path / "model", max_tokens=prepared.resolved.max_tokens)
        torch.testing.assert_close(found, measured, atol=1e-5, rtol=0)


def logits(folder: Path, texts: list[str], *, base: Path, max_tokens: int) -> torch.Tensor:
    """Return the logits of the model in a part of an artifact as transformers and PEFT load it."""
    is_adapter = folder.name == "adapter"
    model = AutoModelForSequenceClassification.from_pretrained(
        base if is_adapter else folder, config=AutoConfig.from_pretrained(folder)
    )
    model = PeftModel.from_pretrained(model, str(folder)) if is_adapter else model
    inputs = AutoTokenizer.from_pretrained(folder)(
        texts, truncation=True, max_length=max_tokens, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**inputs).logits
    return found
