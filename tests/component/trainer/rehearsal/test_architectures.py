"""Healthy models of many architectures pass the rehearsal with every method, as they are and cut down to a few layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from run_configs import run_config
from tiny_architectures import VOCABULARY, architectures, save_base, save_tokenizer

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

NO_BIAS = "bitfit trains the bias terms of a model"
NOTHING_TO_ADAPT = "names no layer of this model|cannot be used: .* experts"


def rows(task: str) -> list[dict[str, Any]]:
    words = [f"w{number}" for number in range(4, VOCABULARY)]
    found = []
    for number in range(60):
        text = words[number % 50 : number % 50 + 2 + number % 7]
        tags = ["B-A" if place % 3 else "O" for place in range(len(text))]
        is_text = task == "text-classification"
        found.append({"text": " ".join(text), "label": "ab"[number % 2]} if is_text else {"tokens": text, "tags": tags})
    return found


def settings_of(folder: Path, model: Path, task: str, **settings: Any) -> Any:
    return run_config(folder, model=model, task=task, sources=[folder / "rows.jsonl"], **settings)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PrepareResult]:
    """One small data set for each task; all tiny models have the same tokenizer."""
    results = {}
    for task in TASKS:
        folder = tmp_path_factory.mktemp(task)
        save_base(folder / "model", "bert")
        save_tokenizer(folder / "model")
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(task)))
        off = {"preflight": {"rehearsal": False}, "data": {"deduplicate": {"exact": False, "acrossSplits": False}}}
        config = settings_of(folder, folder / "model", task, **off)
        results[task] = prepare(config, Reporter(config))
    return results


@pytest.mark.parametrize("limits", [Limits(), Limits(parameters=1)], ids=["as it is", "cut down"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("task", "model_type"), architectures())
def test_a_healthy_model_passes(
    tmp_path: Path, prepared: dict[str, PrepareResult], task: str, model_type: str, method: str, limits: Limits
) -> None:
    if limits.parameters == 1 and method != "lora":
        pytest.skip("the model is chosen before the method plays a part")
    save_base(tmp_path / "model", model_type)
    save_tokenizer(tmp_path / "model")
    config = settings_of(tmp_path, tmp_path / "model", task, method={"type": method})
    model = open_model(config.settings.model, task=TASKS[task], paths=config.paths)
    result = changed(prepared[task], model_path=str(tmp_path / "model"))
    try:
        done = rehearse(config.settings, result, model=model, shape=None, scratch=tmp_path / "scratch", limits=limits)
    except ConfigError as refused:
        assert method != "full"
        pytest.skip(refused.message)
    print(model_type, method, done)
    assert done.startswith("trained, saved, exported and loaded"), done
    assert not (tmp_path / "scratch").exists()
