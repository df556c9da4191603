"""A number for each text. Every row is one target; its loss is the squared error of the standardised number.

In training the model gives (number - mean) / std, with mean and standard deviation of the training rows: no learning rate depends on the user's unit.
The scale is put into the head when the trained model is loaded (`models/fold.py`), so that the published one gives the number itself.

Shapes: N = rows of a split, B = rows of a batch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.text_regression import TEXT_REGRESSION_FEATURES
from tuneloop_trainer.dataset.shards import LABELS, open_split
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.evaluation.regression import (
    evaluate_numbers,
    number_metrics,
    number_r2,
    number_r2_gain,
    predicted_numbers,
)
from tuneloop_trainer.evaluation.target_scale import scale_of, standardised
from tuneloop_trainer.tasks.padding import padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Row, Task
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION, encoded_texts, texts_of_split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_api.contract.artifact import TargetScale
    from tuneloop_trainer.dataset.shards import TokenizedSplit


def _encode(tokenizer: Any, rows: Sequence[Row], _label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"text": str, "label": float}` as tokens, with the number as row column `labels`."""
    return [
        EncodedRow(input_ids=ids, row_columns={LABELS: float(row["label"])})
        for row, ids in zip(rows, encoded_texts(tokenizer, rows), strict=True)
    ]


def _target_labels(split: TokenizedSplit) -> NDArray[np.float64]:
    return split.row_column(LABELS)


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=_target_labels(split)[rows])


def _loss_sum(output: Any, labels: Tensor, _label_smoothing: float, *, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Return the SUM over the rows of the squared error, in float32; labels: numbers, float64 [B]. The spec allows no label smoothing here."""
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    return functional.mse_loss(output.logits[:, 0].float(), ((labels - mean) / std).float(), reduction="sum")


def _target_values(output: Any, _labels: Tensor, *, mean: float = 0.0, std: float = 1.0) -> Tensor:
    values: Tensor = output.logits.float() * std + mean
    return values


def _comparable(values: NDArray[np.float32], _labels: NDArray[Any], *, scale: TargetScale) -> NDArray[np.float32]:
    """Return numbers as training saw them, moved by one standard deviation: with a large mean, all numbers would be alike as shares of their size.

    The move gives predictions near the mean the size that numbers have by the choice of the scale: the published number is rounded in the user's unit, and no
    part of the standard deviation smaller than some 1e-5 is left of it.
    """
    return (1.0 + standardised(values, scale)).astype(np.float32)


def _fit(task: Task, train: TokenizedSplit) -> Task:
    scale = scale_of(_target_labels(train))
    return replace(
        task,
        loss_sum=partial(_loss_sum, mean=scale.mean, std=scale.std),
        target_values=partial(_target_values, mean=scale.mean, std=scale.std),
        comparable=partial(_comparable, scale=scale),
        metrics=lambda predictions, _: number_metrics(predictions, scale),
        target_scale=scale,
    )


def _prior_loss(split: TokenizedSplit) -> float:
    """Return the loss of a model that says the mean: 1 but for rounding, by the choice of the scale."""
    numbers = _target_labels(split)
    return float((standardised(numbers, scale_of(numbers)) ** 2).mean())


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Predict the mean of the training rows, and what ridge regression on TF-IDF of words says."""
    from tuneloop_trainer.evaluation.baselines import cut_length, sampled  # noqa: PLC0415  (loads scikit-learn)
    from tuneloop_trainer.evaluation.number_baselines import TextsWithNumbers, tfidf_ridge  # noqa: PLC0415

    train, validation, test = (open_split(dataset, name) for name in SPLITS)
    numbers = _target_labels(train)
    chosen = sampled(len(numbers))
    cut = cut_length(len(chosen))
    ridge = tfidf_ridge(
        TextsWithNumbers(texts=texts_of_split(dataset, "train", cut=cut, chosen=chosen), numbers=numbers[chosen]),
        TextsWithNumbers(texts=texts_of_split(dataset, "validation", cut=cut), numbers=_target_labels(validation)),
        texts_of_split(dataset, "test", cut=cut),
        seed=seed,
        beat=beat,
    )
    return [
        Baseline(name="mean", predicted=np.full(len(test.rows), numbers.mean())),
        Baseline(name="tfidf-ridge", predicted=ridge.predictions, description=ridge.description),
    ]


def _summary(_labels: Sequence[str]) -> str:
    return "Predicts a number for a text, in the unit of the training data."


def _loading(_temperature: float) -> str:
    return (
        "import torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'inputs = tokenizer(["Your text"], truncation=True, padding=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        "    print(model(**inputs).logits[:, 0].tolist())  # what the model server answers\n"
    )


TEXT_REGRESSION = replace(
    TEXT_CLASSIFICATION,
    name="text-classification/regression",
    problem_type="regression",
    formats=("text-score",),
    encode=_encode,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=_loss_sum,
    target_values=_target_values,
    prior_loss=_prior_loss,
    primary_metric="r2",
    evaluate=evaluate_numbers,
    choose=predicted_numbers,
    calibration_error=None,
    score=number_r2,
    gain=number_r2_gain,
    paired=None,
    other_measures={},
    fit_baselines=_fit_baselines,
    rival="tfidf-ridge",
    rival_title="TF-IDF + ridge regression",
    fit=_fit,
    features=TEXT_REGRESSION_FEATURES,
    card=CardTexts(
        title="Text regression",
        summary=_summary,
        unit="test rows",
        confusion=None,
        function="none",
        calibrated="test rows",
        limits=("Every text gets a number, also one unlike the training data; nothing says how sure it is.",),
        loading=_loading,
    ),
)
