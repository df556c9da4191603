"""Runs with a model that has learned something, and champions made of their artifacts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from finished_runs import MAX_TOKENS, RunMaker, invented_rows
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.contract.artifact import MANIFEST, Manifest
from tuneloop_api.contract.champion import EVALUATION, ModelComparison
from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.export.publish import list_files

LABELS = ["negative", "positive"]
ROWS = 600
QUICK = {"baselines": False, "bootstrap_samples": 200}


def informed_bert(folder: Path, base: Path) -> Path:
    """Write the model in `base` with a head that is fitted to the invented rows; it is right on most of them."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, id2label=dict(enumerate(LABELS)), label2id={label: index for index, label in enumerate(LABELS)}
    ).eval()
    rows = invented_rows(ROWS)
    inputs = tokenizer(
        [row.text for row in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.no_grad():
        pooled = model.bert(**inputs).pooler_output.numpy()
        center, spread = pooled.mean(axis=0), pooled.std(axis=0)
        fitted = LogisticRegression(C=1e4, max_iter=5000).fit(
            (pooled - center) / spread, [LABELS.index(row.label) for row in rows]
        )
        weight = torch.tensor(fitted.coef_[0] / spread)
        bias = torch.tensor(fitted.intercept_[0]) - weight @ torch.tensor(center, dtype=weight.dtype)
        model.classifier.weight.copy_(torch.stack([-weight, weight]) / 2)
        model.classifier.bias.copy_(torch.stack([-bias, bias]) / 2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def good_run(runs: RunMaker, base: Path, *, place: str, **evaluation: Any) -> RunConfig:
    """Return a finished run whose model is the one in `base`, measured on 150 rows."""
    return runs.make(base, invented_rows(ROWS), place=place, noise=0.0, evaluation=QUICK | evaluation)


def champion_of(artifact: Path, folder: Path, *, swap_names: bool = False, swap_head: bool = False) -> Path:
    """Return a copy of an artifact, whole by its manifest, with its classes in the other order: in their names, in the head, or in both."""
    shutil.copytree(artifact, folder)
    manifest = Manifest.from_wire(json.loads((folder / MANIFEST).read_bytes()))
    (folder / MANIFEST).unlink()
    if swap_names:
        config = json.loads((folder / "model/config.json").read_bytes())
        config["id2label"] = {str(index): label for index, label in enumerate(reversed(LABELS))}
        config["label2id"] = {label: index for index, label in enumerate(reversed(LABELS))}
        (folder / "model/config.json").write_text(json.dumps(config))
        manifest = changed(manifest, labels=list(reversed(LABELS)))
    if swap_head:
        weights = load_file(folder / "model/model.safetensors")
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = weights[name][::-1].copy()
        save_file(weights, folder / "model/model.safetensors", metadata={"format": "pt"})
    manifest = changed(manifest, files=list_files(folder))
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()))
    return folder


def comparison_in(artifact: Path) -> ModelComparison:
    """Return what the artifact says of the comparison."""
    return ModelComparison.from_wire(json.loads((artifact / EVALUATION).read_bytes()))
