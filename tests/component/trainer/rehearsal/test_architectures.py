"""Healthy models of many architectures pass the rehearsal with every method, as they are and cut down to a few layers."""

from __future__ import annotations

import json
import random
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from run_configs import run_config
from tiny_architectures import END, VOCABULARY, save_base, save_tokenizer, tiny_config
from tokenizers import Tokenizer, processors
from transformers import AutoModel

from tuneloop_api.combinations.table import ADAPTERS, PROMPTS
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods import METHODS
from tuneloop_trainer.models.source import open_model
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.rehearsal.rehearsal import Limits, rehearse
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.tasks import TASKS

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult

ARCHITECTURES = [
    *(("text-classification", name) for name in ("albert", "bart", "bert", "distilbert", "electra", "gpt2", "llama", "modernbert", "mpnet", "t5", "xlnet")),
    *(("text-classification/multi-label", name) for name in ("bert", "t5")),
    *(("text-classification/regression", name) for name in ("bert", "deberta-v2", "roberta", "t5", "xlnet", "gpt2")),
    *(("token-classification", name) for name in ("deberta-v2", "roberta")),
    *(("question-answering", name) for name in ("bert", "roberta")),
]  # fmt: skip
LARGE = [
    *(("text-classification", name) for name in ("bert", "gpt2", "llama", "t5")),
    ("token-classification", "roberta"),
]
WITH_PROMPTS = ("text-classification", "bert")
"""The cell in which virtual tokens are rehearsed."""
REFUSED_BY = {
    "full": "never",
    "lora": "names no layer of this model|cannot be used: .* experts",
    "ia3": "names no layer of this model",
    "prefix": "never",
    "prompt": "never",
    "p-tuning": "never",
    "bitfit": "bitfit trains the bias terms of a model, and .* has none",
}
"""The words with which a method refuses a model; the rehearsal is not the first to find that."""
LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers")


def rows(task: str) -> list[dict[str, Any]]:
    words = [f"w{number}" for number in range(4, VOCABULARY)]
    found = []
    for number in range(60):
        text = words[number % 50 : number % 50 + 2 + number % 7]
        tags = ["B-A" if place % 3 else "O" for place in range(len(text))]
        found.append(
            {
                "text-classification": {"text": " ".join(text), "label": "ab"[number % 2]},
                "text-classification/multi-label": {"text": " ".join(text), "label": [*"ab"[: number % 3]]},
                "text-classification/regression": {"text": " ".join(text), "label": 100.0 + number % 7},
                "token-classification": {"tokens": text, "tags": tags},
                "question-answering": {
                    "context": " ".join(text),
                    "question": "w4",
                    "answers": {"text": text[:1], "answer_start": [0]},
                },
            }[task]
        )
    return found


def config_for(folder: Path, model: Path, task: str, **settings: Any) -> Any:
    name, _, problem = task.partition("/")
    options = {"taskOptions": {"problemType": problem}} if problem else {}
    return run_config(folder, model=model, task=name, sources=[folder / "rows.jsonl"], **options, **settings)


def save_tokenizer_with_end(folder: Path) -> None:
    """Write the tokenizer of the tiny models with an end token after each text, which the heads of BART and T5 look for."""
    save_tokenizer(folder)
    path = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", END)])
    tokenizer.save(str(path))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PrepareResult]:
    """One small data set for each task; all tiny models have the same tokenizer."""
    results = {}
    for task in dict.fromkeys(task for task, _ in ARCHITECTURES):
        folder = tmp_path_factory.mktemp(task.replace("/", "-"))
        save_base(folder / "model", "bert")
        save_tokenizer_with_end(folder / "model")
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
        off = {"preflight": {"rehearsal": False}, "data": {"deduplicate": {"exact": False, "acrossSplits": False}}}
        config = config_for(folder, folder / "model", task, **off)
        results[task] = prepare(config, Reporter(config))
    return results


def combinations() -> list[Any]:
    """Return (task, model type, method); bitfit and ia3, which differ only in what is trained, run always for the architectures in `LARGE` alone."""
    return [
        pytest.param(
            *cell, method, marks=[pytest.mark.full] if method in {"bitfit", "ia3"} and cell not in LARGE else []
        )
        for cell in ARCHITECTURES
        for method in METHODS
        if method not in PROMPTS or cell == WITH_PROMPTS
    ]


@pytest.mark.parametrize(("task", "model_type", "method"), combinations())
def test_a_healthy_model_passes(
    tmp_path: Path, prepared: dict[str, PrepareResult], task: str, model_type: str, method: str
) -> None:
    save_base(tmp_path / "model", model_type)
    try:
        output = {"mergeAdapter": method not in PROMPTS} if method in ADAPTERS else {}
        done = rehearsal_of(tmp_path, prepared[task], task, method={"type": method}, output=output, limits=Limits())
    except ConfigError as refused:
        done = refused.message
    of_the_head = "gpt2 has a head whose last layer has no bias" if task.endswith("regression") else "never"
    assert re.search(rf"^trained, saved, exported and loaded this model in |{REFUSED_BY[method]}|{of_the_head}", done)


@pytest.mark.parametrize(("task", "model_type"), LARGE)
def test_a_large_model_is_cut_down(
    tmp_path: Path, prepared: dict[str, PrepareResult], task: str, model_type: str
) -> None:
    config = tiny_config(model_type)
    deep = type(config).from_dict(config.to_dict() | {name: 6 for name in LAYERS if hasattr(config, name)})
    model = AutoModel.from_config(deep)
    model.save_pretrained(tmp_path / "model")
    limits = Limits(parameters=sum(parameter.numel() for parameter in model.parameters()) * 3 // 4)
    method = {"type": "full", "freeze": [r"\.5\."]}  # a layer that the smaller model has not
    done = rehearsal_of(tmp_path, prepared[task], task, method=method, limits=limits)
    assert re.match(r"trained, saved, exported and loaded a model of this architecture with [2-4] of 6 layers", done)


def rehearsal_of(folder: Path, prepared: PrepareResult, task: str, *, limits: Limits, **settings: Any) -> str:
    """Rehearse with the model in a folder, and the rows of another model with the same tokenizer."""
    save_tokenizer_with_end(folder / "model")
    config = config_for(folder, folder / "model", task, **settings)
    model = open_model(config.settings.model, task=TASKS[task], paths=config.paths)
    result = changed(prepared, model_path=str(folder / "model"))
    done = rehearse(config.settings, result, model=model, shape=None, scratch=folder / "scratch", limits=limits)
    assert not (folder / "scratch").exists()
    return done


def test_no_time_and_no_smaller_model_let_the_job_go_on(tmp_path: Path, prepared: dict[str, PrepareResult]) -> None:
    save_base(tmp_path / "model", "bert")
    rehearsal = partial(rehearsal_of, tmp_path, prepared["text-classification"], "text-classification")
    assert rehearsal(limits=Limits(seconds=0)) == "not rehearsed: it took longer than 0 s"
    assert rehearsal(limits=Limits(parameters=1)).startswith("not rehearsed: ")


def test_random_numbers_go_on_as_if_nothing_had_been(tmp_path: Path, prepared: dict[str, PrepareResult]) -> None:
    save_base(tmp_path / "model", "bert")
    drawn = []
    for rehearses in (False, True):
        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)  # noqa: NPY002  (libraries draw from it)
        if rehearses:
            rehearsal_of(tmp_path, prepared["text-classification"], "text-classification", limits=Limits())
        drawn.append((torch.rand(1).item(), random.random(), np.random.rand()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
