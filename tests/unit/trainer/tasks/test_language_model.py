"""What language models have in common: the loss is that of transformers, and what is kept of a row does not grow with the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tuneloop_trainer.dataset.shards import IGNORED, LABELS, TokenizedSplit
from tuneloop_trainer.evaluation.language_model import SUMS
from tuneloop_trainer.evaluation.metrics import class_prior_entropy
from tuneloop_trainer.tasks.language_model import (
    BYTES,
    bytes_of_tokens,
    one_line_per_row,
    sums_of_rows,
    targets_and_bytes,
    token_loss_sum,
    unigram_entropy,
)
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Batch
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_trainer.training.evaluation_loop import predict

VOCABULARY = 11


def split_of(lengths: list[int], *, seed: int = 0) -> TokenizedSplit:
    """Rows of random tokens, each with its successor as target; the first of a row is none."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(0, VOCABULARY, length + 1).astype(np.int32) for length in lengths]
    labels = [np.concatenate([[IGNORED], row[2:]]).astype(np.int32) for row in ids]
    return TokenizedSplit(
        name="test",
        lengths=np.array(lengths),
        rows=np.arange(len(lengths)),
        targets=np.array(lengths) - 1,
        row_columns={},
        ids=(np.concatenate([row[:-1] for row in ids]),),
        token_columns={LABELS: (np.concatenate(labels),), BYTES: (np.full(sum(lengths), 3, dtype=np.int32),)},
        first_rows=np.array([0, len(lengths)]),
        starts=np.cumsum([0, *lengths[:-1]]),
    )


def collate(split: TokenizedSplit, rows: np.ndarray, pad_id: int) -> Batch:
    labels = padded(lambda row: split.token_column(LABELS, row), rows, lengths=split.lengths[rows], fill=IGNORED)
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=labels)


TASK = SimpleNamespace(
    collate=collate,
    target_values=sums_of_rows,
    values_per_line=lambda _labels: SUMS,
    lines_per_row=one_line_per_row,
    target_labels=targets_and_bytes,
)


class ARank:
    """A rank of a gang whose others are run one after another: what it hands to the sum is kept."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size, self.device = rank, world_size, torch.device("cpu")
        self.model = torch.nn.Embedding(
            VOCABULARY,
            VOCABULARY,
            _weight=torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(1)),
        )

    def forward(self, *, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        del attention_mask
        return SimpleNamespace(logits=self.model(input_ids))

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        return values


def predicted(split: TokenizedSplit, *, world_size: int) -> list[np.ndarray]:
    """What each rank adds to the sum of all."""
    return [
        predict(ARank(rank, world_size), split, task=TASK, labels=[], batch_size=2, pad_id=0, beat=lambda: None).values
        for rank in range(world_size)
    ]


@given(st.lists(st.integers(2, 9), min_size=1, max_size=12), st.integers(2, 4))
def test_what_is_kept_is_the_same_to_the_last_bit_on_any_number_of_ranks(lengths, world_size):
    split = split_of(lengths)
    (alone,) = predicted(split, world_size=1)
    assert np.array_equal(sum(predicted(split, world_size=world_size)), alone)


def test_a_row_of_many_tokens_keeps_two_numbers():
    split = split_of([9, 3, 7])
    (alone,) = predicted(split, world_size=1)
    assert alone.shape == (3, 2)
    assert targets_and_bytes(split).tolist() == [[8, 24], [2, 6], [6, 18]]


def test_the_sums_of_rows_are_those_of_each_target():
    logits, labels = torch.randn(3, 5, VOCABULARY), torch.randint(0, VOCABULARY, (3, 5))
    labels[0, :3] = labels[2, 4] = IGNORED
    sums = sums_of_rows(SimpleNamespace(logits=logits), labels)
    for row in range(3):
        chosen = labels[row] != IGNORED
        losses = functional.cross_entropy(logits[row][chosen], labels[row][chosen], reduction="sum")
        right = (logits[row][chosen].argmax(-1) == labels[row][chosen]).sum()
        assert sums[row].tolist() == [pytest.approx(float(losses), rel=1e-6), int(right)]


def test_a_row_without_a_target_keeps_nothing():
    sums = sums_of_rows(SimpleNamespace(logits=torch.randn(1, 4, VOCABULARY)), torch.full((1, 4), IGNORED))
    assert sums.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_a_sum_over_targets(smoothing):
    logits, labels = torch.randn(2, 6, VOCABULARY), torch.randint(0, VOCABULARY, (2, 6))
    labels[:, ::2] = IGNORED
    whole = functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )
    assert float(token_loss_sum(SimpleNamespace(logits=logits), labels, smoothing)) == pytest.approx(
        float(whole), rel=1e-6
    )


@given(st.lists(st.integers(2, 9), min_size=1, max_size=12), st.integers(2, 4))
def test_the_targets_of_rows_and_their_prior_do_not_depend_on_where_shards_end(lengths, shards):
    whole = split_of(lengths)
    ends = np.unique(np.linspace(0, len(lengths), shards + 1).astype(int))
    tokens = np.append(whole.starts, sum(lengths))[ends]
    parts = {name: tuple(np.split(column, tokens[1:-1])) for name, (column,) in whole.token_columns.items()}
    starts = whole.starts - np.repeat(tokens[:-1], np.diff(ends))
    divided = replace(whole, token_columns=parts, first_rows=ends, starts=starts)
    by_hand = [labels[labels != IGNORED] for labels in (whole.token_column(LABELS, row) for row in range(len(lengths)))]
    assert targets_and_bytes(divided).tolist() == [[len(targets), 3 * len(targets)] for targets in by_hand]
    assert unigram_entropy(divided) == pytest.approx(class_prior_entropy(np.concatenate(by_hand).astype(np.int64)))


def test_the_loss_without_training_is_the_entropy_of_the_tokens():
    assert unigram_entropy(split_of([40, 50])) == pytest.approx(np.log(VOCABULARY), rel=0.1)


@pytest.mark.parametrize(
    ("text", "ends", "sizes"),
    [
        ("abc de", [3, 6], [3, 3]),
        ("né", [1, 2], [1, 2]),
        ("🙂!", [1, 1, 1, 2], [4, 0, 0, 1]),
        ("ab", [0, 1, 2, 0], [0, 1, 1, 0]),
    ],
    ids=["words", "two bytes", "a character of three tokens", "special tokens around a text"],
)
def test_the_bytes_of_tokens_are_the_bytes_of_the_text(text, ends, sizes):
    assert bytes_of_tokens(text, ends).tolist() == sizes
    assert sum(sizes) == len(text.encode())


def test_a_task_with_classes_keeps_the_logits_of_each_target():
    split = split_of([4, 3])
    assert TEXT_CLASSIFICATION.lines_per_row(split).tolist() == [3, 2]
    assert TEXT_CLASSIFICATION.values_per_line(["a", "b", "c"]) == 3
