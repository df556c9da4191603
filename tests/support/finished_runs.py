"""A finished training run on disk: prepared data, trained weights and predictions, made by the real parts and a few perturbed weights."""

from __future__ import annotations

import copy
import csv
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from tuneloop_api.contract.defaults import config_hash
from tuneloop_api.contract.results import DataCounts, PrepareResult, Resolved, SavedStep, TrainResult
from tuneloop_api.contract.run_config import JobIdentity, Paths, RunConfig
from tuneloop_api.contract.settings import MethodSettings, Settings
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.dataset.shard_writer import RowWriter, ShardWriter
from tuneloop_trainer.dataset.shards import MANIFEST, DatasetManifest, TokenizerFacts, open_split
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.models.trained import TrainedModel, write_trained
from tuneloop_trainer.stage_result import write_result
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

ROOT = Path(__file__).parents[2]
MINILM = ROOT / ".tuneloop/claims/demo/minilm"
REVIEWS = ROOT / ".tuneloop/claims/demo/movie-reviews.csv"
MAX_TOKENS = 16
GOOD = ["good", "fine", "superb", "moving", "witty", "fresh", "warm", "clever"]
BAD = ["bad", "dull", "flat", "weak", "tired", "stale", "cold", "clumsy"]
PLAIN = ["the", "a", "film", "plot", "actor", "scene", "and", "of", "with", "this", "is", "story", "it"]


@dataclass(frozen=True)
class Row:
    text: str
    label: str


def invented_rows(count: int = 240, labels: tuple[str, ...] = ("negative", "positive")) -> list[Row]:
    """Sentences whose class shows in some words, not in all."""
    generator = np.random.default_rng(7)
    rows = []
    for number in range(count):
        kind = number % len(labels)
        telling = (BAD, GOOD, [*GOOD[:4], *BAD[:4]])[kind % 3]
        words = [*generator.choice(PLAIN, 6), *generator.choice(telling, 2), *generator.choice([*GOOD, *BAD], 1)]
        rows.append(Row(" ".join(generator.permutation(words)), labels[kind]))
    return rows


def review_rows(count: int) -> list[Row]:
    with REVIEWS.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    lines = [lines[index] for index in np.random.default_rng(1).choice(len(lines), count, replace=False)]
    return [Row(line["sentence"], "positive" if float(line["rating"]) > 0 else "negative") for line in lines]


def bert(folder: Path, *, layers: int) -> Path:
    """A BERT with a tokenizer of whole words."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *GOOD, *BAD, *PLAIN]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# tiny\n")
    return folder


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How training computed the logits that it measured."""

    precision: Literal["fp32", "bf16"] = "fp32"
    head_scale: float = 1.0
    """What the weights of the head are multiplied by, and so the logits."""


@dataclass(frozen=True, kw_only=True)
class RunMaker:
    """Makes finished training runs below a folder."""

    folder: Path
    tiny_bert: Path

    def tiny(self, *, labels: tuple[str, ...] = ("negative", "positive"), ending: str = "", **how: Any) -> RunConfig:
        """A tiny BERT on 240 invented sentences; ending: what two thirds of the texts end with."""
        rows = [
            replace(row, text=row.text + ending * (number % 3 > 0))
            for number, row in enumerate(invented_rows(240, labels))
        ]
        return self.make(self.tiny_bert, rows, **how)

    def minilm(self, **how: Any) -> RunConfig:
        """The real MiniLM on 160 real sentences of film reviews."""
        return self.make(MINILM, review_rows(160), max_tokens=48, noise=0.02, **how)

    def make(
        self,
        base: Path,
        rows: list[Row],
        *,
        method: MethodSettings | None = None,
        place: str = "claim",
        max_tokens: int = MAX_TOKENS,
        noise: float = 0.3,
        measuring: Measuring = Measuring(),
        **settings: Any,
    ) -> RunConfig:
        claim = self.folder / place
        job = claim / "jobs" / "reviews-1"
        job.mkdir(parents=True)
        method = method or MethodSettings(type="full")
        blocks = {
            "model": {"uri": "pvc://demo/model"},
            "task": "text-classification",
            "data": {"train": [{"uri": "pvc://demo/reviews.csv"}]},
            "method": method.to_wire(),
        }
        chosen = Settings.model_validate(blocks | settings)
        prepared = _prepare(claim, base, rows, max_tokens=max_tokens)
        trained = _train(job, prepared, method, noise=noise, measuring=measuring)
        return RunConfig(
            stage="export",
            job=JobIdentity(namespace="default", name="reviews", uid="1"),
            settings=chosen,
            config_hash=config_hash(chosen),
            paths=Paths(
                claims={"demo": str(claim)},
                datasets=str(claim / "datasets"),
                models=str(claim / "models"),
                job_dir=str(job),
                job_uri="pvc://demo/jobs/reviews-1",
            ),
            prepare_result=write_result(prepared, stage="prepare", job=job),
            train_result=write_result(trained, stage="train", job=job),
        )


def _prepare(claim: Path, model: Path, rows: list[Row], *, max_tokens: int) -> PrepareResult:
    dataset = claim / "datasets" / "d1"
    dataset.mkdir(parents=True)
    AutoTokenizer.from_pretrained(model).save_pretrained(dataset / "tokenizer")
    tokenizer = load_tokenizer(dataset / "tokenizer")
    labels = sorted({row.label for row in rows})
    cuts = [0, len(rows) // 2, 3 * len(rows) // 4, len(rows)]
    splits = {}
    for name, (start, end) in zip(("train", "validation", "test"), pairwise(cuts), strict=True):
        shards, texts, part = (
            ShardWriter(dataset, name),
            RowWriter(dataset, name, schema=FORMATS["text-label"].schema),
            rows[start:end],
        )
        for number, row in enumerate(part, start=start):
            ids = tokenizer(row.text, truncation=True, max_length=max_tokens)["input_ids"]
            label = labels.index(row.label)
            shards.add(ids=np.array(ids, dtype=np.int32), row=number, row_columns={"labels": label})
        texts.write([(number, {"text": row.text, "label": row.label}) for number, row in enumerate(part, start=start)])
        splits[name] = shards.finish([texts.finish()])
    counts = DataCounts(
        rows=len(rows), splits={name: split.rows for name, split in splits.items()}, bad=0, duplicates=0, truncated=0
    )
    facts = TokenizerFacts(files_digest="t", pad_token_id=tokenizer.pad_token_id, special_tokens=2, model_max_tokens=32)
    manifest = DatasetManifest(
        digest="d1", labels=labels, max_tokens=max_tokens, tokenizer=facts, splits=splits, counts=counts
    )
    (dataset / MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
    return PrepareResult(
        dataset_digest="d1",
        dataset_path=str(dataset),
        model_path=str(model),
        model_revision="r1",
        model_type="bert",
        counts=counts,
        resolved=_resolved(labels, max_tokens=max_tokens),
        report_path=str(dataset / "report.json"),
        cache_hit=False,
    )


def _resolved(labels: list[str], *, max_tokens: int) -> Resolved:
    return Resolved(
        labels=labels,
        max_tokens=max_tokens,
        global_batch_size=8,
        micro_batch_size=4,
        steps_per_epoch=10,
        total_steps=30,
        warmup_steps=2,
        learning_rate=2e-5,
        precision="fp32",
        zero_stage=2,
    )


def _train(
    job: Path, prepared: PrepareResult, method: MethodSettings, *, noise: float, measuring: Measuring
) -> TrainResult:
    """Perturb the trained parameters, and predict as training does."""
    task = TEXT_CLASSIFICATION
    model = load_model(
        Path(prepared.model_path), task=task, labels=prepared.resolved.labels, pad_token_id=0, dropout=None, seed=42
    )
    dataset = Path(prepared.dataset_path)
    _predict(model.eval(), dataset, "test", job / "before-test.safetensors")
    model = method_of(method).build(model, method, task=task, seed=42).eval()
    generator = torch.Generator().manual_seed(5)
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.no_grad():
        for parameter in trainable.values():
            spread = noise * (parameter.std().nan_to_num(0.0) + 0.01)
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
        for name in [name for name in trainable if "classifier" in name]:
            trainable[name].mul_(measuring.head_scale)
    files = {"before-test": str(job / "before-test.safetensors")}
    measured = copy.deepcopy(model).bfloat16() if measuring.precision == "bf16" else model
    for split in ("validation", "test"):
        files[split] = str(job / f"{split}.safetensors")
        _predict(measured, dataset, split, Path(files[split]))
    description = TrainedModel(method=method, labels=prepared.resolved.labels, pad_token_id=0, step=20)
    write_trained(job / "weights", {name: tensor.detach() for name, tensor in trainable.items()}, description)
    return TrainResult(
        attempt=1,
        world_size=2,
        start_step=0,
        steps=30,
        stopped_early=False,
        last=SavedStep(step=30, path="checkpoints/step-30-a1"),
        best=SavedStep(step=20, path="checkpoints/step-20-a1", metric="loss", value=0.4),
        weights_path=str(job / "weights"),
        predictions=files,
        log_path=str(job / "log.jsonl"),
        resume="exact",
        precision=measuring.precision,
        tokens_per_second=100.0,
        padding_fraction=0.02,
    )


def _predict(model: torch.nn.Module, dataset: Path, name: str, path: Path) -> None:
    split, task = open_split(dataset, name), TEXT_CLASSIFICATION
    parts = []
    for start in range(0, len(split.lengths), 8):
        batch = task.collate(split, np.arange(start, min(start + 8, len(split.lengths))), 0)
        with torch.no_grad():
            output = model(**{name: torch.from_numpy(array) for name, array in batch.inputs.items()})
            parts.append(task.target_values(output, torch.from_numpy(batch.labels)).float().numpy())
    offsets = np.cumsum([0, *split.targets], dtype=np.int64)
    labels = task.target_labels(split)
    Predictions(values=np.concatenate(parts), labels=labels, rows=split.rows, offsets=offsets).write(
        path, dataset=dataset.name
    )
