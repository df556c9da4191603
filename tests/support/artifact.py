"""Valid artifacts for tests and benchmarks: a real model with a seeded classification head, published as `export` publishes it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_api.contract.artifact import MANIFEST, ArtifactFile, Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_artifact(
    folder: Path,
    model_folder: Path,
    labels: Sequence[str] = ("negative", "positive"),
    *,
    name: str = "reviews",
    max_tokens: int = 64,
    temperature: float = 1.5,
    seed: int = 0,
) -> Manifest:
    """Write `model/` and `manifest.json` to a folder; returns the manifest.

    model_folder: a pre-trained encoder in Hugging Face layout (`tiny_bert(...)`, or the real MiniLM). Its weights are kept, the head is
    random but seeded, and large enough for the classes to differ.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            model_folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
        )
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder / "model")
    return write_manifest(folder, labels, name=name, max_tokens=max_tokens, temperature=temperature)


def write_manifest(
    folder: Path,
    labels: Sequence[str],
    *,
    name: str,
    max_tokens: int,
    temperature: float,
    task: str = "text-classification",
    source_prefix: str | None = None,
) -> Manifest:
    """Write the manifest of the files in a folder; returns it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = [_file(folder, path) for path in paths]
    manifest = manifest_of(
        labels,
        files=files,
        name=name,
        max_tokens=max_tokens,
        temperature=temperature,
        task=task,
        source_prefix=source_prefix,
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()), encoding="utf-8")
    return manifest


def manifest_of(
    labels: Sequence[str],
    *,
    files: Sequence[ArtifactFile] = (),
    name: str = "reviews",
    max_tokens: int = 64,
    temperature: float = 1.5,
    task: str = "text-classification",
    source_prefix: str | None = None,
) -> Manifest:
    """Return a manifest of the given files."""
    return Manifest(
        name=name,
        task=task,
        base_model="hf://tests/model",
        labels=list(labels),
        max_tokens=max_tokens,
        temperature=temperature,
        metrics=[],
        lineage={},
        files=list(files),
        source_prefix=source_prefix,
    )


def _file(folder: Path, path: Path) -> ArtifactFile:
    content = path.read_bytes()
    return ArtifactFile(
        path=path.relative_to(folder).as_posix(), size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
