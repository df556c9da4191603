"""A small training run on the real engine, for tests: models of a few thousand parameters, batches that are functions of (step, g).

Runs inside the ranks of a gang. The batches follow the rules of the training loop: global micro-batch g of step t belongs to rank
g mod W, missing ones are zero-weight dummies, dropout is seeded per micro-batch, the loss is a sum scaled by W / N.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from tuneloop_trainer.engine.engine import Engine, EngineSettings

MICRO_BATCHES, ROWS, CLASSES, FEATURES = 4, 8, 3, 16
SETTINGS = {
    "zero_stage": 0, "precision": "fp32", "micro_batch_size": ROWS, "max_grad_norm": 1.0, "learning_rate": 1e-2,
    "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
}  # fmt: skip


class Net(nn.Module):
    """Two matrices, a norm, dropout, a bias: both parameter groups, and randomness."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(FEATURES, 37)
        self.norm = nn.LayerNorm(37)
        self.outer = nn.Linear(37, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(torch.tanh(self.inner(x.to(self.inner.weight.dtype))))
        return self.outer(dropout(hidden, 0.1, self.training))


class TiedNet(nn.Module):
    """One matrix used twice under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(FEATURES, FEATURES)
        self.again = nn.Linear(FEATURES, FEATURES)
        self.again.weight = self.inner.weight
        self.outer = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.again(torch.tanh(self.inner(x)))))


class CountingNet(Net):
    """A buffer that training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.rows += len(x)
        return super().forward(x) + 1e-4 * self.rows


def bert() -> nn.Module:
    """A two-layer BERT classifier with dropout, behind the same interface."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=FEATURES, num_labels=CLASSES,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def lora() -> nn.Module:
    """The same with a frozen base: adapters and a head are trained."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        bert(), LoraConfig(r=4, lora_dropout=0.1, target_modules=["query", "value"], task_type="SEQ_CLS")
    )


MODELS = {"net": Net, "tied": TiedNet, "counting": CountingNet, "bert": bert, "lora": lora}


def settings(**changes: Any) -> EngineSettings:
    """Return engine settings for the small models."""
    return EngineSettings(**(SETTINGS | changes))


def engine_for(model: str, **changes: Any) -> Engine:
    """Return an engine on a small model that starts from the same values in every rank and stage."""
    torch.manual_seed(1)
    return Engine(MODELS[model]().train(), settings(**changes))


def rows(step: int, g: int, *, tokens: bool) -> tuple[Tensor, Tensor]:
    """Return the inputs and labels of micro-batch g of a step."""
    source = torch.Generator().manual_seed(1000 * step + g)
    x = torch.randn(ROWS, FEATURES, generator=source)
    labels = x[:, :CLASSES].argmax(1)
    return ((x * 8).long().clamp(-31, 31) + 32 if tokens else x), labels


def loss_sum(output: Any, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy in fp32."""
    return cross_entropy(getattr(output, "logits", output).float(), labels, reduction="sum")


def forward(engine: Engine, model: str, x: Tensor) -> Any:
    """Call the engine with the model's own name for its input."""
    return engine.forward(input_ids=x) if model in ("bert", "lora") else engine.forward(x=x)


def train(engine: Engine, model: str, *, start: int, end: int) -> list[list[float]]:
    """Make the steps from `start` up to `end`; return [loss, gradient norm] of each."""
    world_size, total = engine.world_size, MICRO_BATCHES * ROWS
    history = []
    for step in range(start, end):
        losses = torch.zeros(MICRO_BATCHES, dtype=torch.float64)
        for k in range(-(-MICRO_BATCHES // world_size)):
            g = k * world_size + engine.rank
            live, g = g < MICRO_BATCHES, g if g < MICRO_BATCHES else 0
            x, labels = rows(step, g, tokens=model in ("bert", "lora"))
            torch.manual_seed(1000 * step + g)
            loss = loss_sum(forward(engine, model, x), labels)
            engine.backward(loss * (world_size / total if live else 0.0))
            if live:
                losses[g] = loss.detach()
        engine.all_reduce_sum(losses)
        norm = engine.step(learning_rate=1e-2 * min(1.0, (step + 1) / 3))
        history.append([float(losses.sum() / total), norm])
    return history
