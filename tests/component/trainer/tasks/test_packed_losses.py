"""Packed rows have the losses and gradients of rows by themselves, on every architecture that the documentation names; the trial of a job finds those where they have not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from packable_models import (
    DECODERS,
    ENCODERS,
    NOT_TAKEN,
    PAD,
    TOKEN_OF_ANOTHER_ROW_SHOWS,
    VOCABULARY,
    packable_model,
)

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.packed_inputs import read_packed_batches
from tuneloop_trainer.rehearsal.packing_check import difference, row_losses
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.packing import SEQUENCE_IDS, lay_out, pack
from tuneloop_trainer.tasks.task import Batch

LENGTHS = np.array([60, 31, 22, 10, 9, 8, 40])
KEPT_APART = [name for name in (*DECODERS, *ENCODERS) if name not in (*TOKEN_OF_ANOTHER_ROW_SHOWS, *NOT_TAKEN)]


def rows(seed: int = 0) -> Batch:
    generator = np.random.default_rng(seed)
    is_token = np.arange(LENGTHS.max()) < LENGTHS[:, None]
    ids, labels = generator.integers(5, VOCABULARY, (2, *is_token.shape))
    is_target = is_token & (generator.random(is_token.shape) < 0.7)
    return Batch(
        inputs={"input_ids": np.where(is_token, ids, PAD), "attention_mask": is_token.astype(np.int64)},
        labels=np.where(is_target, labels, IGNORED),
    )


def task_of(name: str) -> Any:
    return TASKS["text-generation" if name in DECODERS else "fill-mask"]


def ready(name: str, **how: Any) -> Any:
    model = packable_model(name, **how)
    read_packed_batches(model, task_of(name).packing)
    return model


def losses(model: Any, name: str, *, packed: bool) -> np.ndarray:
    return row_losses(model, rows(), LENGTHS, task=task_of(name), pad_id=PAD, packed=packed)


def gradients(model: Any, name: str, batch: Batch) -> dict[str, torch.Tensor]:
    model.zero_grad()
    output = model(**{key: torch.from_numpy(values) for key, values in batch.inputs.items()})
    task_of(name).loss_sum(output, torch.from_numpy(batch.labels), 0.0).backward()
    return {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}


def largest_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of two gradients, as a part of the largest gradient."""
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    return max(float((found[key] - expected[key]).abs().max()) for key in expected) / largest


@pytest.mark.parametrize("name", KEPT_APART)
def test_packed_rows_have_the_losses_and_gradients_of_rows_alone(name):
    model, batch = ready(name), rows()
    assert lay_out(LENGTHS).lines < len(LENGTHS)
    assert losses(model, name, packed=True) == pytest.approx(losses(model, name, packed=False), abs=1e-5)
    packed = pack(batch, LENGTHS, pad_id=PAD)
    assert largest_difference(gradients(model, name, packed), gradients(model, name, batch)) < 1e-5


@pytest.mark.parametrize("name", ["llama", "bert", "modernbert"])
def test_eager_attention_keeps_rows_apart_too(name):
    model = ready(name, attention="eager")
    assert losses(model, name, packed=True) == pytest.approx(losses(model, name, packed=False), abs=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["llama", "bert", "roberta", "modernbert"])
def test_a_model_in_bf16_reads_packed_rows(name, attention):
    """The engine casts the weights, and the configuration does not know of it."""
    model = ready(name, attention=attention).bfloat16()
    assert losses(model, name, packed=True) == pytest.approx(losses(model, name, packed=False), abs=0.01)


@pytest.mark.parametrize("name", TOKEN_OF_ANOTHER_ROW_SHOWS)
def test_the_trial_finds_an_architecture_that_does_not_keep_rows_apart(name):
    model = ready(name)
    alone, packed = losses(model, name, packed=False), losses(model, name, packed=True)
    found = difference(alone, packed)
    assert found is not None
    worst = int((abs(alone - packed) / np.maximum(1, alone)).argmax())
    assert f"{packed[worst]:.6f} beside other rows and of {alone[worst]:.6f} alone" in found


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_an_architecture_that_takes_no_such_mask_says_so_and_computes_no_wrong_loss(name):
    model = ready(name)
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        losses(model, name, packed=True)


@pytest.mark.parametrize("name", ["gpt2", "gemma3_text", "bert", "modernbert"])
def test_the_trial_would_find_rows_that_are_not_kept_apart(name):
    """Positions that go on tell a decoder of no second row; an encoder without a mask sees the whole line."""
    model, batch = ready(name), rows()
    task, lines = task_of(name), pack(batch, LENGTHS, pad_id=PAD)
    alone = losses(model, name, packed=False)
    leaky = {"input_ids": torch.from_numpy(lines.inputs["input_ids"])}
    with torch.no_grad():
        output = model(**leaky)
    layout = lay_out(LENGTHS)
    found = []
    for row, length in enumerate(LENGTHS.tolist()):
        labels = np.full_like(lines.labels, IGNORED)
        place = (layout.line[row], slice(layout.start[row], layout.start[row] + length))
        labels[place] = lines.labels[place]
        found.append(float(task.loss_sum(output, torch.from_numpy(labels), 0.0)) / (labels != IGNORED).sum())
    assert difference(alone, np.array(found)) is not None


@pytest.mark.parametrize(("name", "method"), [("llama", "lora"), ("gpt2", "ia3"), ("bert", "lora")])
def test_a_model_with_an_adapter_reads_packed_rows(name, method):
    settings = MethodSettings(type=method, dropout=0.0)
    model = method_of(settings).build(packable_model(name), settings, task=task_of(name), seed=1).eval()
    read_packed_batches(model, task_of(name).packing)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    assert losses(model, name, packed=True) == pytest.approx(losses(model, name, packed=False), abs=1e-5)
    expected = gradients(model, name, rows())
    assert largest_difference(gradients(model, name, pack(rows(), LENGTHS, pad_id=PAD)), expected) < 1e-5


def test_a_batch_that_is_not_packed_is_read_as_before():
    model, batch = ready("bert"), rows()
    assert SEQUENCE_IDS not in batch.inputs
    inputs = {key: torch.from_numpy(values) for key, values in batch.inputs.items()}
    with torch.no_grad():
        assert (model(**inputs).logits == packable_model("bert")(**inputs).logits).all()
