"""Prepared data and run configurations for tests of training: what `prepare` hands on, made from rows at hand."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from run_configs import run_config

from tuneloop_api.contract.results import DataCounts, PrepareResult, Resolved
from tuneloop_api.contract.run_config import Rendezvous, ResultReference, RunConfig
from tuneloop_api.wire.model import changed
from tuneloop_trainer.dataset.shard_writer import ShardWriter
from tuneloop_trainer.dataset.shards import MANIFEST, TOKENIZER, DatasetManifest, TokenizerFacts

DEMO = Path(__file__).parents[2] / ".tuneloop" / "claims" / "demo"
"""The real model and the real sentences; `dev/real_data.py` puts them there."""
Rows = Sequence[tuple[str, str]]


def movie_sentences(count: int | None = None) -> list[tuple[str, str]]:
    """Return real sentences of film reviews and whether they are favourable; ambiguous ones are left out."""
    with (DEMO / "movie-reviews.csv").open(newline="", encoding="utf-8") as file:
        rated = [(row["sentence"], float(row["rating"])) for row in csv.DictReader(file)]
    clear = [(text, "positive" if rating > 0 else "negative") for text, rating in rated if abs(rating) >= 0.5]
    return clear[:count]


def write_dataset(folder: Path, splits: Mapping[str, Rows], *, model: Path, max_tokens: int = 64) -> list[str]:
    """Write a prepared data set; returns its labels."""
    from transformers import AutoTokenizer

    from tuneloop_trainer.models.tokenizer import load_tokenizer

    folder.mkdir(parents=True)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder / TOKENIZER)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    labels = sorted({label for rows in splits.values() for _, label in rows})
    files, row = {}, 0
    for name, rows in splits.items():
        writer = ShardWriter(folder, name)
        ids = tokenizer([text for text, _ in rows], truncation=True, max_length=max_tokens)["input_ids"]
        for tokens, (_, label) in zip(ids, rows, strict=True):
            writer.add(ids=np.array(tokens, dtype=np.int32), row=row, row_columns={"labels": labels.index(label)})
            row += 1
        files[name] = writer.finish([])
    facts = TokenizerFacts(
        files_digest="-", pad_token_id=tokenizer.pad_token_id, special_tokens=2, model_max_tokens=512
    )
    manifest = DatasetManifest(
        digest=folder.name,
        labels=labels,
        max_tokens=max_tokens,
        tokenizer=facts,
        splits=files,
        counts=_counts(splits),
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.to_wire()))
    return labels


def training_run(
    tmp_path: Path,
    *,
    model: Path,
    dataset: Path,
    port: int = 0,
    resolved: Mapping[str, Any] | None = None,
    **settings: Any,
) -> RunConfig:
    """Return the run configuration of `train` on a data set that `write_dataset` wrote, with prepare.json in the job's folder.

    `settings`: blocks of `Settings` with the wire's names. `resolved`: values in place of those that follow from them.
    """
    config = run_config(tmp_path, stage="train", model=model, **settings)
    manifest = DatasetManifest.from_wire(json.loads((dataset / MANIFEST).read_text()))
    result = PrepareResult(
        dataset_digest=manifest.digest,
        dataset_path=str(dataset),
        model_path=str(model),
        model_revision="test",
        model_type="bert",
        architecture="encoder",
        counts=manifest.counts,
        resolved=changed(_resolved(config, manifest), **(resolved or {})),
        report_path=str(dataset / "report.json"),
        cache_hit=False,
    )
    data = json.dumps(result.to_wire()).encode()
    path = Path(config.paths.job_dir) / "prepare.json"
    path.write_bytes(data)
    return changed(
        config,
        prepare_result=ResultReference(path=str(path), sha256=hashlib.sha256(data).hexdigest()),
        rendezvous=Rendezvous(address="127.0.0.1", port=port),
    )


def write_run(config: RunConfig, path: Path) -> Path:
    """Write a run configuration to a file; returns the path."""
    path.write_text(json.dumps(config.to_wire()))
    return path


def _resolved(config: RunConfig, manifest: DatasetManifest) -> Resolved:
    training, world_size = (
        config.settings.training,
        config.settings.gang.nodes * config.settings.gang.processes_per_node,
    )
    steps_per_epoch = math.ceil(manifest.splits["train"].rows / training.global_batch_size)
    total = training.max_steps or math.ceil((training.epochs or 1) * steps_per_epoch)
    stage = config.settings.deepspeed.stage
    return Resolved(
        labels=manifest.labels,
        max_tokens=manifest.max_tokens,
        global_batch_size=training.global_batch_size,
        micro_batch_size=training.micro_batch_size or min(8, training.global_batch_size),
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        warmup_steps=training.warmup_steps or math.ceil((training.warmup_ratio or 0) * total),
        learning_rate=training.learning_rate or 1e-3,
        precision="fp32",
        zero_stage=stage if stage is not None else (1 if world_size == 1 else 2),
    )


def _counts(splits: Mapping[str, Rows]) -> DataCounts:
    sizes = {name: len(rows) for name, rows in splits.items()}
    return DataCounts(rows=sum(sizes.values()), splits=sizes, bad=0, duplicates=0, truncated=0)
