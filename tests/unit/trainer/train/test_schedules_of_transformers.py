"""Each schedule is that of transformers, but for the warm-up, which is a step ahead: its first step is not wasted at a rate of zero."""

from __future__ import annotations

import math

import pytest
import torch
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
    get_wsd_schedule,
)

from tuneloop_trainer.training.lr_schedule import DECAY_FRACTION, Schedule, learning_rate

PEAK = 3e-4


def of_transformers(name: str, *, warmup: int, total: int) -> list[float]:
    """Return the rates of `total` + 1 steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    decay = min(max(1, math.ceil(DECAY_FRACTION * total)), total - warmup)
    schedule = {
        "constant": lambda: get_constant_schedule_with_warmup(optimizer, warmup),
        "linear": lambda: get_linear_schedule_with_warmup(optimizer, warmup, total),
        "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, warmup, total),
        "wsd": lambda: get_wsd_schedule(optimizer, warmup, decay, num_training_steps=total, decay_type="linear"),
    }[name]()
    rates = []
    for _ in range(total + 1):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "wsd"])
@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (0, 20), (4, 20), (3, 101), (18, 20)])
def test_a_schedule_is_that_of_transformers(name: str, warmup: int, total: int) -> None:
    schedule = Schedule(scheduler=name, peak=PEAK, warmup_steps=warmup, total_steps=total)
    expected = of_transformers(name, warmup=warmup, total=total)
    found = [learning_rate(schedule, step) for step in range(total)]
    assert found[warmup:] == pytest.approx(expected[warmup:total], rel=1e-9)
    assert found[:warmup] == pytest.approx(expected[1 : warmup + 1], rel=1e-9)
