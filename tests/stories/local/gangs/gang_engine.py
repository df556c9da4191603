"""What the ranks of the engine's tests do."""

from __future__ import annotations

import copy
import os
import signal
from datetime import timedelta
from pathlib import Path

import tiny_training as tiny
import torch
from torch import nn

from tuneloop_trainer.engine.engine import Engine, start_process_group, zero3_context
from tuneloop_trainer.errors import CollectiveError, ConfigError

CASES = [{"zero_stage": zero_stage} for zero_stage in (0, 1, 2, 3)] + [
    {"zero_stage": zero_stage, "precision": "bf16"} for zero_stage in (1, 2, 3)
]


def observe_steps(folder: str) -> dict:
    """Return small observations, all from one gang."""
    start_process_group()
    return {
        "norms": [_norm_of_first_step(case["zero_stage"]) for case in CASES[:4]],
        "not finite": [_step_from_infinite_loss(case) for case in CASES],
        "decays": [_what_decays(case["zero_stage"]) for case in CASES[:4]],
        "moves": [_how_far_weights_move(case) for case in CASES],
        "master weights": [_small_updates_add_up(case) for case in CASES[4:]],
        "tied": [_names("tied", case["zero_stage"]) for case in CASES[:4]],
        "buffers": [_names("counting", case["zero_stage"]) for case in CASES[:4]],
        "stages": [tiny.engine_for("net", zero_stage=zero_stage, precision="bf16").zero_stage for zero_stage in (0, 1)],
        "nothing to train": _nothing_to_train(),
        "pre-trained": [_from_pretrained(folder, zero_stage=zero_stage) for zero_stage in (0, 3)],
    }


class Rows(nn.Module):
    """An embedding whose gradient has a few large rows among many small ones: sums in fp32 lose digits on it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20000, 32)

    def forward(self, scale: torch.Tensor) -> torch.Tensor:
        return (self.table.weight * scale[:, None]).sum()


def _norm_of_first_step(zero_stage: int) -> list[float]:
    """Return the norm that the engine says and the one of the same gradient summed exactly."""
    torch.manual_seed(0)
    scale = torch.rand(20000) * torch.where(torch.arange(20000) % 500 == 0, 1.0, 1e-3)
    engine = Engine(Rows(), tiny.settings(zero_stage=zero_stage, max_grad_norm=0.0))
    engine.backward(engine.forward(scale=scale))
    reported = engine.step(learning_rate=1e-3)
    engine.close()
    return [reported, float((scale.double().square().sum() * 32).sqrt())]


def _step_from_infinite_loss(case: dict) -> dict:
    engine = tiny.engine_for("net", **case)
    before = engine.trainable_state()
    x, labels = tiny.rows(0, engine.rank, tokens=False)
    loss = tiny.loss_sum(tiny.forward(engine, "net", x), labels)
    engine.backward(loss * (float("inf") if engine.rank == 0 else 1.0))
    norm = engine.step(learning_rate=1e-2)
    after = engine.trainable_state()
    adam_step = engine.master_weights.step
    (_, good), *_ = tiny.train(engine, "net", start=1, end=2)
    engine.close()
    return {
        "norm is infinite": norm == float("inf"),
        "nothing moved": all(torch.equal(value, after[name]) for name, value in before.items()),
        "adam step": adam_step,
        "next norm": good,
    }


def _what_decays(zero_stage: int) -> list[str]:
    """Return the parameters that change in a step with a zero gradient: those that decay."""
    engine = tiny.engine_for("net", zero_stage=zero_stage, weight_decay=0.5)
    before = engine.trainable_state()
    x, labels = tiny.rows(0, 0, tokens=False)
    engine.backward(tiny.loss_sum(tiny.forward(engine, "net", x), labels) * 0.0)
    engine.step(learning_rate=1e-2)
    after = engine.trainable_state()
    engine.close()
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


def _how_far_weights_move(case: dict) -> dict[str, float]:
    """Return the farthest move of each parameter at Adam's first step, in learning rates; the inner layer has a factor of 1/4."""
    torch.manual_seed(1)
    factors = {"inner.weight": 0.25, "inner.bias": 0.25}
    engine = Engine(tiny.Net().train(), tiny.settings(**case, weight_decay=0.0), rate_factors=factors)
    before = engine.trainable_state()
    x, labels = tiny.rows(0, 0, tokens=False)
    engine.backward(tiny.loss_sum(tiny.forward(engine, "net", x), labels) / tiny.ROWS)
    engine.step(learning_rate=1e-3)
    after = engine.trainable_state()
    engine.close()
    return {name: float((after[name] - value).abs().max() / 1e-3) for name, value in before.items()}


def _small_updates_add_up(case: dict) -> bool:
    """Whether updates far below a bf16 step reach the state: they do only in fp32 master weights."""
    engine = tiny.engine_for("net", **case, weight_decay=0.0)
    before = engine.trainable_state()
    for _ in range(3):
        x, labels = tiny.rows(0, 0, tokens=False)
        engine.backward(tiny.loss_sum(tiny.forward(engine, "net", x), labels) / tiny.ROWS)
        engine.step(learning_rate=1e-6)
    after = engine.trainable_state()
    engine.close()
    return all(1e-6 < (after[name] - value).abs().max() < 4e-6 for name, value in before.items())


def _names(model: str, zero_stage: int) -> list[str]:
    engine = tiny.engine_for(model, zero_stage=zero_stage)
    start = engine.trainable_state()
    tiny.train(engine, model, start=0, end=1)
    end = engine.trainable_state()
    engine.close()
    return [*sorted(start), "then", *sorted(end.keys() - start.keys())]


def _nothing_to_train() -> str:
    try:
        Engine(tiny.Net().requires_grad_(False), tiny.settings())
    except ConfigError as error:
        return error.message
    return ""


def _from_pretrained(folder: str, *, zero_stage: int) -> dict:
    """Load a model with a fresh head, as training does, and return what the engine then holds."""
    from transformers import AutoModelForSequenceClassification

    settings = tiny.settings(zero_stage=zero_stage)
    path = Path(folder)
    with zero3_context(settings):
        torch.manual_seed(5)
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=3)
    engine = Engine(model.eval(), settings)
    with torch.no_grad():
        logits = engine.forward(input_ids=torch.arange(10, 18)[None]).logits
    state = engine.trainable_state()
    engine.close()
    return {"logits": logits.tolist(), "sums": {name: float(value.double().sum()) for name, value in state.items()}}


def lose_a_peer() -> str:
    """Rank 1 is killed; rank 0 says what its next collective raises."""
    rank, _ = start_process_group()
    engine = tiny.engine_for("net", zero_stage=2)
    tiny.train(engine, "net", start=0, end=1)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        tiny.train(engine, "net", start=1, end=100)
    except CollectiveError as error:
        return error.message
    return "nothing was raised"


def join_alone() -> str:
    """A rank whose peers never come; returns what it raises."""
    return _refusal(RANK="1", WORLD_SIZE="2")


def wait_for_nobody() -> str:
    """Rank 0 of two, alone."""
    return _refusal(WORLD_SIZE="2")


def join_without_a_name() -> str:
    """MASTER_ADDR does not resolve, as before a Service has its endpoints."""
    return _refusal(RANK="1", WORLD_SIZE="2", MASTER_ADDR="train-0.nowhere.invalid")


def _refusal(**variables: str) -> str:
    """Return what a rank says that finds no gang within a second."""
    os.environ |= variables
    try:
        start_process_group(timeout=timedelta(seconds=1))
    except CollectiveError as error:
        return error.message
    return "nothing was raised"


def wrong_variables(ports: list) -> list[str]:
    """Return the errors of a rank for wrong values of MASTER_PORT."""
    messages = []
    for port in ports:
        os.environ.pop("MASTER_PORT", None)
        os.environ |= {} if port is None else {"MASTER_PORT": port}
        try:
            start_process_group()
        except ConfigError as error:
            messages.append(error.message)
    return messages


def exchange_values() -> list:
    """Return what rank r receives when every rank gives another kind of value."""
    rank, _ = start_process_group()
    engine = tiny.engine_for("net")
    values = [{"text": "ü" * 3000, "none": None}, [1, 2.5], "x"]
    return [engine.exchange(copy.deepcopy(values[rank])) == values, engine.exchange(None) == [None] * 3]
