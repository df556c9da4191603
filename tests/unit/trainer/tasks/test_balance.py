"""Class weights and focal loss: equal to plain references, exact however the rows are divided, and refused where a task has no classes."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.utils.class_weight import compute_class_weight

from tuneloop_api.contract.data_settings import BalanceSettings
from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.evaluation.metrics import class_prior_entropy
from tuneloop_trainer.evaluation.multi_label import prior_entropy
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.balance import class_weights, weighted_prior_loss
from tuneloop_trainer.tasks.task import Task

TOKENS = TASKS["token-classification"]
SINGLE = TASKS["text-classification"]
SEVERAL = TASKS["text-classification/multi-label"]
COUNTS = st.integers(2, 6).flatmap(
    lambda classes: arrays.arrays(np.int64, classes, elements=st.integers(1, 40_000))
)  # fmt: skip
LABELS = np.array([0] * 7 + [1] * 2 + [2] * 3)
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]])
LOGITS = 3 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
OF_ROWS = torch.tensor([0, 2, 1, 0, 2])
OF_TOKENS = torch.tensor([[0, IGNORED], [2, 1], [IGNORED, IGNORED]])


def balanced(task: Task, labels: Any, *, classes: int = 3, **settings: Any) -> Task:
    """Return a task whose training split has these targets, with the loss that the settings ask for."""
    with_labels = _with_targets(task, labels)
    return with_labels.balanced(SimpleNamespace(), BalanceSettings(**settings), classes=classes)


def _with_targets(task: Task, labels: Any) -> Task:
    return replace(task, target_labels=lambda _split: labels)


def loss(task: Task, logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    return task.loss_sum(SimpleNamespace(logits=logits), labels, smoothing)


@given(counts=COUNTS)
def test_balanced_weights_are_those_of_scikit_learn(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert class_weights(counts, "balanced") == pytest.approx(expected)


@given(counts=COUNTS)
def test_effective_numbers_are_those_of_the_paper(counts):
    expected = np.array([(1 - 0.9999) / (1 - 0.9999 ** int(count)) for count in counts])
    found = class_weights(counts, "effective-number")
    assert found / found[0] == pytest.approx(expected / expected[0], rel=1e-6)


@given(counts=COUNTS, scheme=st.sampled_from(["none", "balanced", "effective-number"]))
def test_the_mean_weight_of_a_target_is_1(counts, scheme):
    assert (class_weights(counts, scheme) * counts).sum() / counts.sum() == pytest.approx(1)


@pytest.mark.parametrize("scheme", ["balanced", "effective-number"])
def test_a_class_without_targets_changes_no_other_weight(scheme):
    found = class_weights(np.array([6, 0, 2]), scheme)
    assert found[1] == 1
    assert found[[0, 2]] == pytest.approx(class_weights(np.array([6, 2]), scheme))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_classes_have_the_loss_of_torch(smoothing):
    task = balanced(SINGLE, LABELS, class_weights="balanced")
    weights = torch.tensor([12 / (3 * count) for count in (7, 2, 3)])
    per_target = torch.nn.CrossEntropyLoss(weight=weights, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(loss(task, LOGITS, OF_ROWS, smoothing), per_target(LOGITS, OF_ROWS).sum())


def test_weighted_labels_have_the_loss_of_torch_with_pos_weight():
    task = balanced(SEVERAL, TRUTH, class_weights="balanced")
    having = torch.from_numpy(TRUTH.sum(axis=0))
    without = len(TRUTH) - having
    plain = torch.nn.BCEWithLogitsLoss(pos_weight=without / having, reduction="none")
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]])
    expected = (plain(LOGITS, labels.float()) * len(TRUTH) / (2 * without)).sum() / 3
    torch.testing.assert_close(loss(task, LOGITS, labels), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_classes_is_that_of_the_paper(gamma):
    task = balanced(SINGLE, LABELS, focal_gamma=gamma)
    right = LOGITS.softmax(-1)[torch.arange(5), OF_ROWS]
    torch.testing.assert_close(loss(task, LOGITS, OF_ROWS), ((1 - right) ** gamma * -right.log()).sum())


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_labels_is_the_sigmoid_focal_loss_of_torchvision(gamma):
    """The formula of `torchvision.ops.sigmoid_focal_loss`, with the weights in place of alpha."""
    task = balanced(SEVERAL, TRUTH, class_weights="balanced", focal_gamma=gamma)
    weights = torch.from_numpy(class_weights(np.stack([5 - TRUTH.sum(axis=0), TRUTH.sum(axis=0)], -1), "balanced"))
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]).float()
    p = LOGITS.sigmoid()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, labels, reduction="none")
    right = p * labels + (1 - p) * (1 - labels)
    alpha = weights[:, 1] * labels + weights[:, 0] * (1 - labels)
    expected = (alpha * entropy * (1 - right) ** gamma).sum() / 3
    torch.testing.assert_close(loss(task, LOGITS, labels.long()), expected.float())


CASES = [
    pytest.param(SINGLE, LABELS, LOGITS, OF_ROWS, id="single"),
    pytest.param(SEVERAL, TRUTH, LOGITS, torch.from_numpy(TRUTH), id="several"),
    pytest.param(TOKENS, LABELS, LOGITS.repeat(2, 1)[:6].view(3, 2, 3), OF_TOKENS, id="tokens"),
]
SETTINGS = [
    {"class_weights": "balanced"},
    {"focal_gamma": 2.0},
    {"class_weights": "effective-number", "focal_gamma": 0.5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("task", "truth", "logits", "labels"), CASES)
def test_the_sum_does_not_depend_on_how_the_rows_are_divided(task, truth, logits, labels, settings):
    asked = balanced(task, truth, **settings)
    parts = sum(loss(asked, logits[row : row + 1], labels[row : row + 1]) for row in range(len(labels)))
    torch.testing.assert_close(parts, loss(asked, logits, labels))


@pytest.mark.parametrize(("task", "truth", "logits", "labels"), CASES)
def test_weights_of_1_and_no_gamma_change_nothing(task, truth, logits, labels):
    asked = balanced(task, truth, focal_gamma=1e-9)  # as good as 0, by the other way
    torch.testing.assert_close(loss(asked, logits, labels), loss(task, logits, labels))
    assert balanced(task, truth).loss_sum is task.loss_sum


def test_tokens_that_are_no_targets_weigh_nothing():
    asked, logits = balanced(TOKENS, LABELS, class_weights="balanced", focal_gamma=2.0), torch.zeros(3, 2, 3)
    weights = class_weights(np.bincount(LABELS), "balanced")
    assert float(loss(asked, logits, OF_TOKENS)) == pytest.approx((2 / 3) ** 2 * math.log(3) * weights.sum())
    assert float(loss(asked, logits[2:], OF_TOKENS[2:])) == 0


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize(("task", "truth", "logits", "labels"), CASES)
def test_a_model_that_is_sure_has_a_finite_gradient(task, truth, logits, labels, gamma):
    sure = (500 * logits.sign()).requires_grad_()
    loss(balanced(task, truth, focal_gamma=gamma), sure, labels).backward()
    assert torch.isfinite(sure.grad).all()


def test_the_loss_is_in_float32_whatever_the_model_computes_in():
    for task, truth, labels in ((SINGLE, LABELS, OF_ROWS), (SEVERAL, TRUTH, torch.from_numpy(TRUTH))):
        asked = balanced(task, truth, class_weights="balanced", focal_gamma=1.0)
        assert loss(asked, LOGITS.bfloat16(), labels).dtype == torch.float32


def test_a_loss_without_weights_has_the_prior_loss_of_its_task():
    counts = np.stack([5 - TRUTH.sum(axis=0), TRUTH.sum(axis=0)], -1)
    assert weighted_prior_loss(np.bincount(LABELS), np.ones(3), 0.0) == pytest.approx(class_prior_entropy(LABELS))
    assert weighted_prior_loss(counts, np.ones((3, 2)), 0.0) == pytest.approx(prior_entropy(TRUTH))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_prior_loss_is_the_loss_of_the_weighted_shares(gamma):
    """A model of three classes that count alike answers a third for each."""
    asked = balanced(SINGLE, LABELS, class_weights="balanced", focal_gamma=gamma)
    constant = loss(asked, torch.zeros(len(LABELS), 3), torch.from_numpy(LABELS)) / len(LABELS)
    assert asked.prior_loss(SimpleNamespace()) == pytest.approx(float(constant))


def test_a_class_that_no_row_has_still_has_a_weight():
    asked = balanced(SINGLE, LABELS, classes=4, class_weights="balanced")
    assert torch.isfinite(loss(asked, torch.zeros(2, 4), torch.tensor([0, 3])))


def test_a_task_without_classes_refuses():
    with pytest.raises(ConfigError, match=r"spec\.data\.balance: text-classification/regression has no classes"):
        balanced(TASKS["text-classification/regression"], np.zeros(3), focal_gamma=1.0)
