"""What the ranks of the tests of combinations do: train and save by two ranks, go on and publish on a single rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from gang_checkpoints import opened
from published_methods import published_logits
from run_configs import run_config
from tiny_architectures import PAD, inputs

from tuneloop_api.combinations.table import PROMPTS
from tuneloop_trainer.checkpoint import TrainState
from tuneloop_trainer.data.formats.squad import OUTPUTS
from tuneloop_trainer.engine.engine import Engine, EngineSettings, start_process_group, zero3_context
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.question_windows import CONTEXT, END, START, TOKEN

LABELS = ["O", "B-A", "I-A"]
SPANS = "question-answering"
STEPS = 2


def save_cells(folder: str, cells: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Train each cell for some steps and save it; return by cell how far the trained weights have moved, on rank 0."""
    start_process_group()
    return {name: _saved(Path(folder), name, cell) for name, cell in cells.items()}


def publish_cells(folder: str, cells: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Go on from what `save_cells` has saved, make a step, and publish; return by cell the differences of logits by form, and of the resumed weights."""
    start_process_group()
    return {name: _published(Path(folder), name, cell) for name, cell in cells.items()}


def _saved(folder: Path, name: str, cell: dict[str, Any]) -> float:
    engine = _engine(folder, cell)
    before = engine.trainable_state()
    _train(engine, cell, steps=STEPS)
    after = engine.trainable_state()
    checkpoints = opened(str(folder / name), engine)
    checkpoints.save(TrainState(), step=STEPS)
    if engine.rank == 0:
        torch.save(after, folder / f"{name}.pt")
    checkpoints.close()
    engine.close()
    return max((float((after[key] - before[key]).abs().max()) for key in after), default=0.0)


def _published(folder: Path, name: str, cell: dict[str, Any]) -> dict[str, float]:
    engine = _engine(folder, cell)
    checkpoints = opened(str(folder / name), engine, attempt=2)
    checkpoints.load(checkpoints.newest())
    saved, loaded = torch.load(folder / f"{name}.pt"), engine.trainable_state()
    assert saved.keys() == loaded.keys()
    found = {"resumed": max(float((loaded[key] - saved[key]).abs().max()) for key in saved)}
    _train(engine, cell, steps=1)
    weights = engine.trainable_state()
    checkpoints.close()
    engine.close()
    target = folder / f"{name}-published"
    target.mkdir()
    output = {"mergeAdapter": False} if cell["method"]["type"] in PROMPTS else {}
    base, labels = _model(folder, cell)
    settings = run_config(target, model=base, task=cell["task"], method=cell["method"], output=output).settings
    logits = published_logits(target, base, settings, weights, labels=labels)
    expected = logits.pop("trained")
    return found | {form: float((values - expected).abs().max()) for form, values in logits.items()}


def _model(folder: Path, cell: dict[str, Any]) -> tuple[Path, list[str]]:
    """Return the folder of the model and the names of the classes."""
    labels = list(OUTPUTS) if cell["task"] == SPANS else LABELS if TASKS[cell["task"]].has_new_head else []
    return folder / cell["task"], labels


def _engine(folder: Path, cell: dict[str, Any]) -> Engine:
    task, (base, labels) = TASKS[cell["task"]], _model(folder, cell)
    settings = run_config(folder, model=base, task=task.name, method=cell["method"]).settings
    engine = EngineSettings(
        zero_stage=cell["zero_stage"], precision=cell["precision"], micro_batch_size=4, max_grad_norm=1.0, learning_rate=1e-2,
        weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8,
    )  # fmt: skip
    with zero3_context(engine):
        model = load_model(base, task=task, labels=labels, pad_token_id=PAD, dropout=0.0, seed=1)
    built = method_of(settings.method).build(model, settings.method, task=task, seed=1)
    return Engine(built.train(), engine)


def _train(engine: Engine, cell: dict[str, Any], *, steps: int) -> None:
    for _ in range(steps):
        output = engine.forward(**inputs(cell["task"]))
        labels, targets = _targets(output, cell["task"])
        engine.backward(TASKS[cell["task"]].loss_sum(output, labels, 0.0) / targets)
        engine.step(learning_rate=1e-2)


def _targets(output: Any, task: str) -> tuple[torch.Tensor, int]:
    """Return labels for an output, and how many targets they are: classes in turn, or spans of the tokens from 3 to 5."""
    if task == SPANS:
        marks = inputs()["attention_mask"] * (TOKEN | CONTEXT)
        marks[:, 3] |= START
        marks[:, 5] |= END
        return marks, len(marks)
    shape = output.logits.shape[:-1]
    return torch.arange(shape.numel()).reshape(shape) % len(LABELS), shape.numel()
