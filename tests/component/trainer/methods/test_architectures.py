"""Every architecture with every method: what should train trains, all else stays, and what is published answers as what was trained."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from published_methods import logits, published_logits
from run_configs import run_config
from tiny_architectures import (
    PAD,
    VOCABULARY,
    architectures,
    body_parameters,
    inputs,
    save_base,
    save_tokenizer,
    save_with_head,
)
from transformers.models.auto import modeling_auto

from tuneloop_api.combinations.table import PROMPTS, REFUSED, Combination, refusal
from tuneloop_api.combinations.table import TASKS as TASKS_OF_SPEC
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods import METHODS, method_of, prompts
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.source import open_model
from tuneloop_trainer.models.trace import build_without_weights
from tuneloop_trainer.tasks import TASKS, task_of

if TYPE_CHECKING:
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.tasks.task import Task

LABELS = ["O", "B-A", "I-A"]
STEPS = 3
FUSED_EXPERTS = ("deepseek_v2", "hunyuan_v1_moe", "minimax", "mixtral", "qwen3_moe", "qwen3_next")
"""LoRA adapts their experts, and that without dropout alone."""
PASSED_BY = ("mamba.dt_proj",)
"""Layers that their model never calls: it takes their weight. So their adapters stay 0, and change nothing."""
CONVOLUTIONS = "token-classification-squeezebert"
"""Its layers are convolutions but for the pooler, which the task does not use: the head alone is trained."""
NOTHING_LINEAR = ("ibert",)
"""All their layers are of a kind of their own, which PEFT does not adapt."""
TAKE_NO_PREFIX = (
    "albert", "canine", "convbert", "deberta", "deberta-v2", "distilbert", "esm", "eurobert", "flaubert", "funnel", "gte", "ibert", "jina_embeddings_v3",
    "layoutlm", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mobilebert", "modernbert", "modernvbert", "mpnet", "mra", "mt5", "nomic_bert",
    "nystromformer", "openai-gpt", "squeezebert", "t5", "tapas", "ultrabert", "ultravbert", "xlm", "xlnet", "yoso",
)  # fmt: skip
"""Their layers take no keys and values from outside. T5 and mT5: the encoder that a head for tokens has."""
FAIL_WITH_PROMPTS = {
    (method, model, task): row.reason.format(model=model)
    for row in REFUSED
    for method, model, task in product(row.methods, row.models, row.tasks or TASKS_OF_SPEC)
    if model in getattr(modeling_auto, TASKS[task].architectures)
}
"""By (method, model type, task): the reason that the table gives."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pre-trained model, and the names of its parameters in the task's model."""

    folder: Path
    body: set[str]
    """Those that the model has without a head."""
    head: set[str]
    """All others."""
    learns: set[str]
    """Those with a gradient, where all are trained without any method."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what makes a base, once for all methods. At the end nothing of them is left."""
    parent = tmp_path_factory.mktemp("bases")
    yield cache(lambda task, model_type, kind: base_of(parent / f"{task}-{model_type}-{kind}", task, model_type, kind))
    shutil.rmtree(parent)


def base_of(folder: Path, task_name: str, model_type: str, kind: str) -> Base:
    task = TASKS[task_name]
    if kind == "no head":
        save_base(folder, model_type)
    else:
        save_with_head(folder, model_type, task=task, labels=LABELS)
    save_tokenizer(folder)
    plain = load(folder, task)
    names, bare = {name for name, _ in plain.named_parameters()}, body_parameters(model_type)
    body = {name for name in names if name.startswith(f"{plain.base_model_prefix}.")}
    if kind == "no head":
        body = {name for name in body if name.removeprefix(f"{plain.base_model_prefix}.") in bare}
    return Base(folder=folder, body=body, head=names - body, learns=train(plain.requires_grad_(True), task))


def load(folder: Path, task: Task) -> Any:
    return load_model(folder, task=task, labels=LABELS, pad_token_id=PAD, dropout=0.0, seed=1)


def train(model: Any, task: Task) -> set[str]:
    """Train all trainable parameters for some steps; returns the names of those with a gradient."""
    model.train()
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.01, weight_decay=0.0)
    found = set()
    for _ in range(STEPS):
        output = model(**inputs())
        targets = output.logits.shape[:-1]
        labels = torch.arange(targets.numel()).reshape(targets) % len(LABELS)
        optimizer.zero_grad()
        task.loss_sum(output, labels, 0.0).backward()
        found |= {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        optimizer.step()
    return found


def expected_to_move(method: str, base: Base, names: set[str]) -> set[str]:
    """Return the names that should move. names: those of the model that the method built."""
    if method == "full":
        return base.learns
    if method == "bitfit":
        return {name for name in base.learns if name in base.head or name.endswith("bias")}
    if method in PROMPTS:
        return {
            name
            for name in names
            if (name.startswith("prompt_encoder.") and ".original_module." not in name)
            or (".modules_to_save." in name and without_adapters(name).removeprefix("base_model.") in base.learns)
        }
    marks = (".ia3_",) if method == "ia3" else (".lora_",)
    adapters = {
        name
        for name in names
        if any(mark in name for mark in marks)
        and base.learns & weights_of_layer(name)
        and not name_of_layer(name).endswith(PASSED_BY)
    }
    assert adapters or CONVOLUTIONS in str(base.folder)
    copies = {name for name in names if ".modules_to_save." in name and without_adapters(name) in base.learns}
    assert {without_adapters(name) for name in copies} == base.head & base.learns
    return adapters | copies


def name_of_layer(adapter: str) -> str:
    return re.split(r"\.(?:lora|ia3)_", without_adapters(adapter))[0].replace(".base_layer", "")


def weights_of_layer(adapter: str) -> set[str]:
    """Return the names that the weights have beside which an adapter lies; fused experts have one adapter in another. IA3 scales the bias, too."""
    bias = ("bias",) if ".ia3_" in adapter else ()
    return {f"{name_of_layer(adapter)}.{weight}" for weight in ("weight", "gate_up_proj", "down_proj", *bias)}


def without_adapters(name: str) -> str:
    """Return the name that a parameter has in the model without adapters."""
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")


def combinations() -> list[Any]:
    """Return (task, model type, method, kind of model); what is no full training of a model with a head runs always for a few architectures alone."""
    return [
        pytest.param(
            *architecture.values, method, kind, id=f"{architecture.id}-{method}-{kind}",
            marks=[*architecture.marks, *([pytest.mark.full] if is_left_out(architecture.values[1], method, kind) else [])],
        )
        for architecture in architectures()
        for method in METHODS
        for kind in ("no head", "a head")
    ]  # fmt: skip


def is_left_out(model_type: str, method: str, kind: str) -> bool:
    """Whether a cell tells nothing new: how a head is loaded, full training of the same model shows, and what trains beside it, the model without a head."""
    return kind == "a head" and method != "full" and model_type not in {"bert", "llama", "modernbert", "roberta"}


@pytest.mark.parametrize(("task", "model_type", "method", "kind"), combinations())
def test_what_should_train_trains_and_is_published(
    tmp_path: Path, bases: Any, task: str, model_type: str, method: str, kind: str
) -> None:
    base = bases(task, model_type, kind)
    assert base.head & base.learns
    options = {"dropout": 0.0} if method == "lora" and model_type in FUSED_EXPERTS else {}
    output = {"mergeAdapter": False} if method in PROMPTS else {}
    config = run_config(tmp_path, model=base.folder, task=task, method={"type": method, **options}, output=output)
    settings = config.settings
    if is_refused_by_the_table(config):
        return
    if (reason := refused(method, model_type, task, base)) is not None:
        with pytest.raises(ConfigError, match=reason):
            built(base, settings)
        return
    model = built(base, settings)
    trainable = {name: p.shape for name, p in model.named_parameters() if p.requires_grad}
    planned = build_without_weights(base.folder, settings, labels=LABELS).named_parameters()
    assert {name: p.shape for name, p in planned if p.requires_grad} == trainable

    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, TASKS[task])
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == expected_to_move(method, base, set(before))
    compare_with_published(tmp_path, model, base, settings)


def is_refused_by_the_table(config: Any) -> bool:
    """Whether the table refuses the method with the task and the family of the model, as `prepare` asks."""
    settings = config.settings
    family = open_model(settings.model, task=task_of(settings), paths=config.paths).architecture
    return refusal(Combination(method=settings.method.type, task=settings.task, family=family)) is not None


def refused(method: str, model_type: str, task: str, base: Base) -> str | None:
    """Return the words with which a method refuses the model; None: it does not."""
    if method == "bitfit" and not any(name.endswith("bias") for name in base.body):
        return r"bitfit trains the bias terms of a model, and .* has none"
    if method == "prefix" and model_type in TAKE_NO_PREFIX:
        return r"prefix puts keys and values before .* takes none \(past_key_values\)"
    if (reason := FAIL_WITH_PROMPTS.get((method, model_type, task))) is not None:
        return re.escape(reason)
    return "names no layer of this model" if method in {"lora", "ia3"} and model_type in NOTHING_LINEAR else None


@pytest.mark.full
@pytest.mark.parametrize("model_type", FUSED_EXPERTS)
def test_fused_experts_are_refused_with_dropout(tmp_path: Path, bases: Any, model_type: str) -> None:
    base = bases("text-classification", model_type, "no head")
    settings = run_config(tmp_path, model=base.folder, method={"type": "lora", "dropout": 0.1}).settings
    with pytest.raises(ConfigError, match=r"spec\.method\.dropout: 0\.1 cannot be used: .* experts") as raised:
        built(base, settings)
    assert raised.value.hint == "set method.dropout: 0"


@pytest.mark.full
@pytest.mark.parametrize(("method", "model_type", "task"), FAIL_WITH_PROMPTS)
def test_a_model_that_the_table_names_fails_with_virtual_tokens(
    tmp_path: Path, bases: Any, monkeypatch: pytest.MonkeyPatch, method: str, model_type: str, task: str
) -> None:
    """Else its row is to go: a newer library can do it."""
    base = bases(task, model_type, "no head")
    given = {"method": {"type": method}, "output": {"mergeAdapter": False}}
    settings = run_config(tmp_path, model=base.folder, task=task, **given).settings
    monkeypatch.setattr(prompts, "refuse_combination", lambda *_args, **_known: None)
    with pytest.raises((AttributeError, IndexError, RuntimeError, TypeError, ValueError)):
        built(base, settings)(**inputs())


def built(base: Base, settings: Settings) -> Any:
    task = task_of(settings)
    return method_of(settings.method).build(load(base.folder, task), settings.method, task=task, seed=1)


def compare_with_published(folder: Path, model: Any, base: Base, settings: Settings) -> None:
    """Publish the trained model in every form that the method has; each must give the logits of the trained model."""
    expected, weights = logits(model), {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    assert expected.std() > 0.01
    for found in published_logits(folder, base.folder, settings, weights, labels=LABELS).values():
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("task", "model_type"), architectures())
def test_prepare_takes_the_model(tmp_path: Path, bases: Any, task: str, model_type: str) -> None:
    folder = bases(task, model_type, "no head").folder
    config = run_config(tmp_path, model=folder)
    found = open_model(config.settings.model, task=TASKS[task], paths=config.paths)
    assert found.vocabulary == VOCABULARY
