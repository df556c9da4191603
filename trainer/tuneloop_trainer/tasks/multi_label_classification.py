"""Text classification with any number of labels for each text. Every row is one target, and its loss is the mean over its (row, label) pairs.

So the loss of a batch is the mean over all pairs, as `BCEWithLogitsLoss` of transformers has it, on any number of ranks: all rows have as many pairs.

Shapes: N = rows of a split, B = rows of a batch, C = labels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.multi_label_classification import MULTI_LABEL_FEATURES
from tuneloop_trainer.dataset.shards import LABELS
from tuneloop_trainer.evaluation.multi_label import (
    chosen_labels,
    evaluate_labels,
    label_calibration_error,
    label_f1,
    label_f1_gain,
    label_metrics,
    paired_labels,
    prior_entropy,
)
from tuneloop_trainer.tasks.balance import balanced_labels
from tuneloop_trainer.tasks.padding import padded_inputs
from tuneloop_trainer.tasks.task import Batch, CardTexts, EncodedRow, Row
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION, encoded_texts, fit_baselines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.dataset.shards import TokenizedSplit

_BITS = 32
"""Labels of one row column."""


def _encode(tokenizer: Any, rows: Sequence[Row], label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"text": str, "label": [str]}` as tokens, with its labels as bits."""
    return [
        EncodedRow(input_ids=ids, row_columns=label_bits([label_ids[label] for label in row["label"]], len(label_ids)))
        for row, ids in zip(rows, encoded_texts(tokenizer, rows), strict=True)
    ]


def label_bits(label_ids: Sequence[int], labels: int) -> dict[str, int]:
    """Return the row columns `labels.FIRST-END` of a row; bit i stands for the label FIRST + i, END is exclusive. labels: how many there are."""
    columns = {}
    for first in range(0, labels, _BITS):
        end = min(first + _BITS, labels)
        columns[f"{LABELS}.{first}-{end}"] = sum(1 << (label - first) for label in label_ids if first <= label < end)
    return columns


def _target_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return int64 [N, C], 1 for each label of a row."""
    columns = {}
    for name, bits in split.row_columns.items():
        if name.startswith(f"{LABELS}."):
            first, _, end = name.removeprefix(f"{LABELS}.").partition("-")
            columns[int(first)] = (bits[:, None] >> np.arange(int(end) - int(first))) & 1
    return np.concatenate([columns[first] for first in sorted(columns)], axis=1)


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    chosen = replace(split, row_columns={name: values[rows] for name, values in split.row_columns.items()})
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=_target_labels(chosen))


def _loss_sum(output: Any, labels: Tensor, _label_smoothing: float) -> Tensor:
    """Return the SUM over the rows of the mean binary cross-entropy of a row's labels, in float32; labels: 0 or 1, int64 [B, C].

    The spec allows no label smoothing here.
    """
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    logits = output.logits.float()
    total: Tensor = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum")
    return total / logits.shape[-1]


def _prior_loss(split: TokenizedSplit) -> float:
    return prior_entropy(_target_labels(split))


def _summary(labels: Sequence[str]) -> str:
    return f"Gives a text those of {len(labels)} labels that fit it, perhaps none: {', '.join(f'`{label}`' for label in labels)}."


def _loading(temperature: float) -> str:
    return (
        "import torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'inputs = tokenizer(["Your text"], truncation=True, padding=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        "    logits = model(**inputs).logits\n"
        "scores = logits.sigmoid()  # what the model server answers\n"
        f"confidence = (logits / {temperature}).sigmoid()  # how often such a label is right, by the temperature\n"
        "for row, sure in zip(scores, confidence):\n"
        "    for index in (row > 0.5).nonzero().flatten().tolist():\n"
        "        print(model.config.id2label[index], row[index].item(), sure[index].item())\n"
    )


MULTI_LABEL_CLASSIFICATION = replace(
    TEXT_CLASSIFICATION,
    name="text-classification/multi-label",
    problem_type="multi_label_classification",
    formats=("text-labels",),
    encode=_encode,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=_loss_sum,
    prior_loss=_prior_loss,
    primary_metric="micro_f1",
    metrics=label_metrics,
    evaluate=evaluate_labels,
    choose=chosen_labels,
    calibration_error=label_calibration_error,
    score=label_f1,
    gain=label_f1_gain,
    paired=paired_labels,
    fit_baselines=partial(fit_baselines, _target_labels),
    rival_title="TF-IDF + one linear model a label",
    balance=balanced_labels,
    features=MULTI_LABEL_FEATURES,
    card=CardTexts(
        title="Multi-label text classification",
        summary=_summary,
        unit="test rows",
        confusion=None,
        function="sigmoid",
        calibrated="(row, label) pairs of the test split",
        limits=("A label counts as predicted where its score is above 0.5; a text may get none.",),
        loading=_loading,
    ),
)
