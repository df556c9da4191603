"""Rows with a number: how they are kept, their loss, and the scale in the head."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tuneloop_api.contract.artifact import TargetScale
from tuneloop_trainer.data.encoded import EncodedWriter
from tuneloop_trainer.dataset.shard_file import open_shard
from tuneloop_trainer.dataset.shard_writer import ShardWriter
from tuneloop_trainer.dataset.shards import LABELS, TokenizedSplit
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.models.fold import fold
from tuneloop_trainer.tasks.task import EncodedRow
from tuneloop_trainer.tasks.text_regression import TEXT_REGRESSION as TASK


def split_of(numbers: list[float]) -> TokenizedSplit:
    """Return a split whose rows, of one token each, have these numbers."""
    count = len(numbers)
    return TokenizedSplit(
        name="train",
        lengths=np.ones(count, dtype=np.int64),
        rows=np.arange(count),
        targets=np.ones(count, dtype=np.int64),
        row_columns={LABELS: np.array(numbers)},
        ids=(np.arange(count, dtype=np.int32),),
        token_columns={},
        first_rows=np.array([0, count]),
        starts=np.arange(count),
    )


TRAIN = split_of([10.0, 20.0, 60.0])
FITTED = TASK.on(TRAIN)


def output(*values: float) -> Any:
    return SimpleNamespace(logits=torch.tensor(values)[:, None])


def test_a_batch_has_the_numbers_of_its_rows_in_its_order():
    batch = TASK.collate(TRAIN, np.array([2, 0]), 0)
    assert batch.labels.tolist() == [60.0, 10.0]
    assert batch.labels.dtype == np.float64


def test_the_loss_is_the_sum_of_squared_errors_of_standardised_numbers():
    labels = torch.tensor([10.0, 60.0], dtype=torch.float64)
    deviation = np.std([10.0, 20.0, 60.0])
    expected = ((10 - 30) / deviation - 0.5) ** 2 + ((60 - 30) / deviation - 1.0) ** 2
    assert FITTED.loss_sum(output(0.5, 1.0), labels, 0.0).item() == pytest.approx(expected)
    parts = [FITTED.loss_sum(output(value), labels[[row]], 0.0) for row, value in enumerate((0.5, 1.0))]
    assert sum(parts).item() == pytest.approx(expected)


def test_the_loss_is_in_float32_whatever_the_model_computes_in():
    outputs = SimpleNamespace(logits=torch.zeros(2, 1, dtype=torch.bfloat16))
    assert FITTED.loss_sum(outputs, torch.zeros(2, dtype=torch.float64), 0.0).dtype == torch.float32


def test_a_model_that_knows_the_mean_alone_has_the_loss_1():
    assert TASK.prior_loss(TRAIN) == pytest.approx(1.0)
    labels = torch.from_numpy(TRAIN.row_columns[LABELS])
    assert FITTED.loss_sum(output(0.0, 0.0, 0.0), labels, 0.0).item() / 3 == pytest.approx(1.0)


def test_a_model_in_training_is_measured_in_the_users_unit_and_a_published_one_as_it_is():
    labels = torch.zeros(2, dtype=torch.float64)
    assert FITTED.target_values(output(0.0, 1.0), labels)[:, 0].tolist() == pytest.approx(
        [30.0, 30.0 + np.std([10.0, 20.0, 60.0])]
    )
    assert TASK.target_values(output(0.0, 1.0), labels)[:, 0].tolist() == [0.0, 1.0]


class Tiny(nn.Module):
    """A body with a gate of one output, and a head."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(num_labels=1, model_type="tiny")
        self.gate = nn.Linear(4, 1)
        self.dense = nn.Linear(4, 4)
        self.score = nn.Linear(4, 1, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.score(torch.tanh(self.dense(inputs * self.gate(inputs).sigmoid())))


@given(mean=st.floats(-1e4, 1e4), std=st.floats(1e-3, 1e4))
def test_a_folded_head_gives_the_output_times_std_plus_mean(mean, std):
    model, inputs = Tiny(), torch.randn(5, 4)
    before = model(inputs).detach().double() * std + mean
    fold(model, TargetScale(mean=mean, std=std), uri="model")
    torch.testing.assert_close(model(inputs).detach().double(), before, rtol=1e-5, atol=1e-6 * (abs(mean) + std))


def test_the_head_that_is_trained_is_folded_and_no_other_copy_of_it():
    model = Tiny()
    model.original = nn.Linear(4, 1).requires_grad_(requires_grad=False)
    kept = model.original.weight.clone()
    fold(model, TargetScale(mean=1.0, std=2.0), uri="model")
    assert torch.equal(model.original.weight, kept)


def test_a_head_without_a_bias_has_no_place_for_the_mean():
    with pytest.raises(ConfigError, match="tiny has a head whose last layer has no bias") as refused:
        fold(Tiny(bias=False), TargetScale(mean=1.0, std=2.0), uri="model")
    assert "bert" in refused.value.hint


def test_a_model_without_such_a_layer_is_refused():
    model = Tiny().requires_grad_(requires_grad=False)
    with pytest.raises(ConfigError, match="without a linear layer of one output"):
        fold(model, TargetScale(mean=1.0, std=2.0), uri="model")


def test_numbers_are_kept_to_the_last_bit_and_whole_numbers_stay_whole(tmp_path):
    numbers = [0.1, -1e30, 5e-324, 3.0]
    with EncodedWriter(tmp_path, "train") as writer:
        for place, number in enumerate(numbers):
            row = EncodedRow(input_ids=np.array([5], dtype=np.int32), row_columns={LABELS: number, "groups": place})
            writer.add(row, length=1)
    encoded = writer.finish()
    shards = ShardWriter(tmp_path, "train")
    for place, row in enumerate(encoded.read()):
        shards.add(ids=row.input_ids, row=place, row_columns=row.row_columns)
    found = read_back(tmp_path, shards.finish([]))
    assert found[LABELS].tolist() == numbers
    assert found["groups"].tolist() == [0, 1, 2, 3]
    assert (found[LABELS].dtype, found["groups"].dtype) == (np.float64, np.int64)


def read_back(folder, files) -> Any:
    (shard,) = files.shards
    return open_shard(
        folder / shard.file,
        rows=shard.rows,
        tokens=shard.tokens,
        row_columns=files.row_columns,
        token_columns=[],
        sequences=[],
    ).row_columns
