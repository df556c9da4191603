"""Class weights and focal loss, for tasks whose targets are classes or labels.

The loss stays a SUM over targets that is divided by their plain number, as every loss is. So the weights have a mean of 1 over the targets of the
training split: a weight says what a target counts, and no learning rate has to change with it. `CrossEntropyLoss(weight)` of torch divides by the sum
of the weights in a batch instead. There a target of a common class counts more in a batch without rare ones, so that the loss is another one for each
size of batch.

Shapes: B = rows of a batch, T = tokens of its longest row, C = classes or labels, N = targets of the training split.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.dataset.shards import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_api.contract.data_settings import BalanceSettings
    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.tasks.task import Task

    Floats = NDArray[np.float64]

_BETA = 0.9999
"""Of effective numbers: targets of a class count one by one at first, and at most 10,000 of them."""


def class_weights(counts: NDArray[np.int64], scheme: str) -> Floats:
    """Return what a target of each class counts, float64, along the last axis; the mean over all targets is 1. A class without targets has weight 1.

    counts: targets of each class, int64 [..., C]. scheme: `none`; `balanced`, N / (C x count), as scikit-learn's `compute_class_weight` has it;
    `effective-number`, in proportion to (1 - β) / (1 - β^count) (Cui et al. 2019, arXiv:1901.05555).
    """
    if scheme == "none":
        return np.ones(counts.shape)
    present = counts > 0
    effective = counts if scheme == "balanced" else -np.expm1(counts * np.log(_BETA))
    weights = np.divide(1.0, effective, out=np.zeros(counts.shape), where=present)
    total = (weights * counts).sum(axis=-1, keepdims=True)
    return np.where(present, weights * counts.sum(axis=-1, keepdims=True) / total, 1.0)


def weighted_prior_loss(counts: NDArray[np.int64], weights: Floats, gamma: float) -> float:
    """Return the mean loss of a target, in nats, for a model that answers the weighted share of each class and knows nothing else.

    counts, weights: [..., C]; the mean over the leading axes is returned. With weights of 1 and γ = 0 this is the entropy of the shares.
    """
    shares = weights * counts / counts.sum(axis=-1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return float(-(shares * (1 - shares) ** gamma * logs).sum(axis=-1).mean())


def balanced_classes(task: Task, train: TokenizedSplit, settings: BalanceSettings, classes: int) -> Task:
    """Return a task whose targets have one class each, with class weights and focal loss. classes: how many there are."""
    counts = np.bincount(task.target_labels(train), minlength=classes)
    return _balanced(task, _class_loss_sum, counts, settings)


def balanced_labels(task: Task, train: TokenizedSplit, settings: BalanceSettings, _classes: int) -> Task:
    """Return a task whose targets have several labels each: to have a label and not to have it are the two classes of that label."""
    truth = task.target_labels(train)
    counts = np.stack([(truth == 0).sum(axis=0), (truth == 1).sum(axis=0)], axis=-1)
    return _balanced(task, _label_loss_sum, counts, settings)


def _balanced(task: Task, loss_sum: Any, counts: NDArray[np.int64], settings: BalanceSettings) -> Task:
    weights, gamma = class_weights(counts, settings.class_weights), settings.focal_gamma
    prior_loss = weighted_prior_loss(counts, weights, gamma)
    return replace(task, loss_sum=partial(loss_sum, weights=weights, gamma=gamma), prior_loss=lambda _split: prior_loss)


def _class_loss_sum(output: Any, labels: Tensor, label_smoothing: float, *, weights: Floats, gamma: float) -> Tensor:
    """Return the SUM over the targets of weight x (1 - p)^γ x -log p, p = probability of the target's class, in float32. Source: Lin et al. 2017, arXiv:1708.02002.

    labels: int64 [B] or [B, T], IGNORED where a token is no target; weights: [C]. With γ = 0 this is torch's weighted cross-entropy, with label smoothing as torch has it; with γ > 0 the
    spec allows no label smoothing. 1 - p is computed as a logarithm from the other classes: where p rounds to 1, the gradient of its power would be NaN.
    """
    import torch  # noqa: PLC0415  (seconds)
    from torch.nn import functional  # noqa: PLC0415

    logits, ids = output.logits.float().flatten(0, -2), labels.flatten()
    of_class = torch.from_numpy(weights).to(logits)
    reduction = "none" if gamma else "sum"
    losses = functional.cross_entropy(
        logits, ids, weight=of_class, reduction=reduction, ignore_index=IGNORED, label_smoothing=label_smoothing
    )
    if not gamma:
        return losses
    own = functional.one_hot(ids.clamp(min=0), logits.shape[-1]).bool()
    log_wrong = logits.masked_fill(own, -torch.inf).logsumexp(-1) - logits.logsumexp(-1)
    return (losses * (gamma * log_wrong).exp()).sum()


def _label_loss_sum(output: Any, labels: Tensor, _label_smoothing: float, *, weights: Floats, gamma: float) -> Tensor:
    """Return the SUM over the rows of the mean over the labels of weight x (1 - p)^γ x -log p, p = probability of the truth about a label, in float32.

    labels: 0 or 1, int64 [B, C]; weights: [C, 2], of rows without and with each label. Their ratio is the `pos_weight` of torch's `BCEWithLogitsLoss`. The spec allows no
    label smoothing here.
    """
    import torch  # noqa: PLC0415  (seconds)
    from torch.nn import functional  # noqa: PLC0415

    logits = output.logits.float()
    without, having = torch.from_numpy(weights).to(logits).unbind(-1)
    losses = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    if gamma:
        log_wrong = functional.logsigmoid(torch.where(labels == 1, -logits, logits))
        losses = losses * (gamma * log_wrong).exp()
    return (torch.where(labels == 1, having, without) * losses).sum() / logits.shape[-1]
