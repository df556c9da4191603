"""Every architecture × method × base: what should train trains, all else stays, and what is published answers as what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_architectures import END, PAD, VOCABULARY, body_parameters, save_base, save_with_head
from transformers import PreTrainedTokenizerFast
from transformers.models.auto import modeling_auto

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.export.exporters.adapter import ADAPTER
from tuneloop_trainer.export.exporters.merged import MERGED
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.trained import TrainedModel, load_trained, write_trained
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

LABELS = ["O", "B-A", "I-A"]
METHODS = {"full": MethodSettings(type="full"), "lora": MethodSettings(type="lora", rank=4), "bitfit": MethodSettings(type="bitfit")}  # fmt: skip
TASKS = (TEXT_CLASSIFICATION, TOKEN_CLASSIFICATION)
QUICK = {
    "text-classification": ("bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "mpnet", "xlnet", "gpt2", "llama", "qwen2", "t5", "bart", "modernbert"),
    "token-classification": ("roberta", "deberta-v2"),
}  # fmt: skip
UNSUPPORTED: dict[str, str] = {}


def cases() -> Iterator[Any]:
    for task in TASKS:
        for model_type in getattr(modeling_auto, task.architectures):
            marks = () if model_type in QUICK[task.name] else pytest.mark.full
            for method in METHODS:
                for base in ("new head", "head there"):
                    yield pytest.param(task, model_type, method, base, id=f"{task.name}-{model_type}-{method}-{base}", marks=marks)  # fmt: skip


def inputs() -> dict[str, torch.Tensor]:
    """Four rows that end with the end token, padded on the right."""
    ids = torch.randint(4, VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = END
    ids[0, 7:] = torch.tensor([END, PAD, PAD, PAD, PAD])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def train(model: Any, task: Task, *, steps: int = 3) -> set[str]:
    """Train all trainable parameters; returns the names of those with a gradient."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.01, weight_decay=0.0)
    found = set()
    for _ in range(steps):
        output = model.train()(**inputs())
        labels = torch.arange(output.logits[..., 0].numel()).reshape(output.logits.shape[:-1]) % len(LABELS)
        optimizer.zero_grad()
        task.loss_sum(output, labels, 0.0).backward()
        found |= {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        optimizer.step()
    return found


def load(folder: Path, task: Task, labels: list[str] = LABELS) -> Any:
    return load_model(folder, task=task, labels=labels, pad_token_id=PAD, dropout=0.0, seed=1)


def plain_name(name: str) -> str:
    """Return the name that a parameter of a model with adapters has in the model without."""
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".base_layer", "")


@dataclass(frozen=True)
class Inputs:
    """What the exporters ask for."""

    model_path: str
    method: Any
    task: Task
    settings: Any
    prepared: Any
    pad_token_id: int = PAD

    def tokenizer(self) -> Any:
        from tokenizers import Tokenizer, models

        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0})))


@dataclass(frozen=True)
class Base:
    """A model's folder, and the parameters of its task model."""

    folder: Path
    body: set[str]
    """Names of the parameters that the base model has, too."""
    head: set[str]
    """All others."""
    learns: set[str]
    """Those with a gradient, when all are trained without a method."""


@cache
def base_of(parent: Path, task: Task, model_type: str, kind: str) -> Base:
    folder = parent / f"{task.name}-{model_type}-{kind}"
    if kind == "new head":
        save_base(folder, model_type)
    else:
        save_with_head(folder, model_type, task=task, labels=LABELS)
    plain = load(folder, task)
    body = body_parameters(model_type)
    names = {name for name, _ in plain.named_parameters()}
    head = {name for name in names if name.removeprefix(f"{plain.base_model_prefix}.") not in body}
    return Base(folder, names - head, head, learns=train(plain.requires_grad_(True), task))


@pytest.mark.parametrize(("task", "model_type", "method", "base"), [*cases()])
def test_exactly_what_should_train_trains_and_is_published(tmp_path: Path, tmp_path_factory: Any, task: Task, model_type: str, method: str, base: str) -> None:
    if model_type in UNSUPPORTED:
        pytest.skip(UNSUPPORTED[model_type])
    given = base_of(tmp_path_factory.getbasetemp(), task, model_type, base)
    folder, head, learns = given.folder, given.head, given.learns
    assert head & learns

    settings = METHODS[method]
    if method == "bitfit" and not any(name.endswith("bias") for name in given.body):
        with pytest.raises(ConfigError, match="trains the bias terms of a model, and .* has none"):
            method_of(settings).build(load(folder, task), settings, task=task, seed=1)
        return
    model: Any = method_of(settings).build(load(folder, task), settings, task=task, seed=1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, task)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    if method == "full":
        assert moved == learns
    elif method == "bitfit":
        assert moved == {name for name in learns if name in head or name.endswith("bias")}
    else:
        adapters = {name for name in before if ".lora_" in name}
        assert adapters
        assert {name for name in adapters if plain_name(name.split(".lora_")[0]) + ".weight" in learns} == moved & adapters
        assert {plain_name(name) for name in moved - adapters} == head & learns
        assert not any("original_module" in name for name in moved)

    write_trained(
        tmp_path / "weights",
        {name: p.detach() for name, p in model.named_parameters() if p.requires_grad},
        TrainedModel(method=settings, labels=LABELS, pad_token_id=PAD, step=1),
    )
    exported(tmp_path, folder, model.eval(), settings, task)


def exported(tmp_path: Path, folder: Path, trained: Any, settings: MethodSettings, task: Task) -> None:
    from types import SimpleNamespace

    inputs_ = Inputs(str(folder), method_of(settings), task, SimpleNamespace(model=SimpleNamespace(uri="pvc://x/y"), output=SimpleNamespace(merge_adapter=True)), SimpleNamespace(model_path=str(folder), resolved=SimpleNamespace(labels=LABELS)))
    again: Any = load_trained(folder, tmp_path / "weights", task=task)
    with torch.no_grad():
        expected = trained(**inputs()).logits
        assert expected.std() > 1e-3
        for exporter in (ADAPTER, MERGED):
            if exporter.wanted(inputs_):
                again = exporter.write(inputs_, again, tmp_path / exporter.folder)
                found = exporter.load(inputs_, tmp_path / exporter.folder)(**inputs()).logits
                mask = inputs()["attention_mask"].bool() if found.ndim == 3 else ...
                torch.testing.assert_close(found[mask], expected[mask], atol=1e-4, rtol=1e-4)
