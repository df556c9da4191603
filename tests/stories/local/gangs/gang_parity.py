"""What the ranks of the parity tests do."""

from __future__ import annotations

import copy

import tiny_training as tiny
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tuneloop_trainer.engine.engine import Engine, start_process_group

STEPS, ROWS = 4, 8


def same_steps(*, model: str, cases: list[dict], steps: int) -> list[dict]:
    """Train in each case from the same start; return the history, and on rank 0 the trained values."""
    start_process_group()
    outcomes = []
    for case in cases:
        engine = tiny.engine_for(model, **case)
        history = tiny.train(engine, model, start=0, end=steps)
        state = engine.trainable_state()
        outcomes.append(
            {
                "history": history,
                "state": {name: value.flatten().tolist() for name, value in state.items()},
                "digest": engine.frozen_digest(),
            }
        )
        engine.close()
    return outcomes


class TwoHeads(nn.Module):
    """A shared body and two heads, of which a forward pass uses one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 32)
        self.heads = nn.ModuleList([nn.Linear(32, 3), nn.Linear(32, 3)])

    def forward(self, x: Tensor, head: Tensor) -> Tensor:
        return self.heads[int(head)](torch.tanh(self.body(x)))


HEAD_OF = {
    "one head": lambda t, k: 0,
    "evaluation between": lambda t, k: 0,
    "two losses, then two backwards": lambda t, k: 0,
    "heads by step": lambda t, k: t % 2,
    "heads by micro-batch": lambda t, k: k % 2,
    "other head in the second micro-batch only": lambda t, k: 1 if k == 1 else 0,
}


def largest_difference_from_plain_torch(*, stages: list[int]) -> dict:
    """Return, by pattern and stage, the largest difference of any weight from a run without DeepSpeed, after 4 steps."""
    _, world_size = start_process_group()
    torch.manual_seed(0)
    start = TwoHeads()
    differences = {}
    for pattern in HEAD_OF:
        expected = _plain(copy.deepcopy(start), pattern, world_size)
        for zero_stage in stages:
            settings = tiny.settings(zero_stage=zero_stage, max_grad_norm=0.0)
            engine = Engine(copy.deepcopy(start), settings)
            _through_engine(engine, pattern)
            found = engine.trainable_state()
            engine.close()
            if found:
                differences[f"{pattern}, stage {zero_stage}"] = max(
                    (found[name] - value).abs().max().item() for name, value in expected.items()
                )
    return differences


def _plain(model: nn.Module, pattern: str, world_size: int) -> dict[str, Tensor]:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1e-2)
    for step in range(STEPS):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        for g in range(2 * world_size):
            (_loss(model, pattern, step, g, world_size) / (2 * world_size * ROWS)).backward()
        adam.step()
    return {name: value.detach() for name, value in model.named_parameters()}


def _through_engine(engine: Engine, pattern: str) -> None:
    world_size = engine.world_size
    share = 1 / (2 * ROWS)  # world size / targets of the whole batch
    for step in range(STEPS):
        mine = range(engine.rank, 2 * world_size, world_size)
        if pattern.startswith("two losses"):
            losses = [_loss(engine.forward, pattern, step, g, world_size) for g in mine]
            for loss in losses:
                engine.backward(loss * share)
        else:
            for g in mine:
                engine.backward(_loss(engine.forward, pattern, step, g, world_size) * share)
                if pattern == "evaluation between":
                    with torch.no_grad():
                        _loss(engine.forward, pattern, step, g, world_size)
        engine.step(learning_rate=1e-2)


def _loss(model, pattern: str, step: int, g: int, world_size: int) -> Tensor:
    source = torch.Generator().manual_seed(step * 100 + g)
    x, labels = torch.randn(ROWS, 16, generator=source), torch.randint(0, 3, (ROWS,), generator=source)
    head = HEAD_OF[pattern](step, g // world_size)
    return cross_entropy(model(x=x, head=torch.tensor(head)), labels, reduction="sum")
