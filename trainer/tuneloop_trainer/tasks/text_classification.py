"""Text classification with one label per text. Every row is one target.

Shapes: N = rows of a split, B = rows of a batch, C = classes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.text_classification import TEXT_CLASSIFICATION_FEATURES
from tuneloop_trainer.dataset.shards import LABELS, open_split, read_texts
from tuneloop_trainer.dataset.splits import SPLITS
from tuneloop_trainer.evaluation.calibration import class_calibration_error
from tuneloop_trainer.evaluation.classification import (
    evaluate_rows,
    paired_macro_f1,
    paired_rows,
    row_accuracy,
    row_accuracy_gain,
    row_macro_f1,
    row_metrics,
)
from tuneloop_trainer.evaluation.metrics import class_prior_entropy
from tuneloop_trainer.evaluation.predictions import likeliest_class
from tuneloop_trainer.tasks.balance import balanced_classes
from tuneloop_trainer.tasks.padding import padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Measure, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.dataset.shards import TokenizedSplit


def _text_of(row: Row) -> str:
    text: str = row["text"]
    return text


def _encode(tokenizer: Any, rows: Sequence[Row], label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"text": str, "label": str}` as tokens, with the class id as row column `labels`."""
    return [
        EncodedRow(input_ids=ids, row_columns={LABELS: label_ids[row["label"]]})
        for row, ids in zip(rows, encoded_texts(tokenizer, rows), strict=True)
    ]


def encoded_texts(tokenizer: Any, rows: Sequence[Row]) -> list[NDArray[np.int32]]:
    """Return the tokens of each row's text, [T] each, with special tokens."""
    encoded = tokenizer(
        [row["text"] for row in rows],
        add_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [np.array(ids, dtype=np.int32) for ids in encoded["input_ids"]]


def _target_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    return split.row_column(LABELS)


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=_target_labels(split)[rows])


def _loss_sum(output: Any, labels: Tensor, label_smoothing: float) -> Tensor:
    """Return the SUM of the cross-entropy over the rows, in float32; labels: int64 [B].

    A sum, never a mean: uneven micro-batches and ranks would get the wrong weight.
    """
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    return functional.cross_entropy(output.logits.float(), labels, reduction="sum", label_smoothing=label_smoothing)


def _target_values(output: Any, _labels: Tensor) -> Tensor:
    logits: Tensor = output.logits
    return logits


def _prior_loss(split: TokenizedSplit) -> float:
    return class_prior_entropy(_target_labels(split))


def fit_baselines(
    target_labels: Callable[[TokenizedSplit], NDArray[Any]],
    dataset: Path,
    *,
    seed: int,
    beat: Callable[[float], None],
) -> list[Baseline]:
    """Predict what most rows have, and what a linear model on TF-IDF of words says. target_labels: as `Task.target_labels`; of several labels each has a model of its own."""
    from tuneloop_trainer.evaluation.baselines import (  # noqa: PLC0415  (loads scikit-learn)
        Texts,
        cut_length,
        majority,
        sampled,
        tfidf_linear,
    )

    train, validation, test = (open_split(dataset, name) for name in SPLITS)
    train_labels = target_labels(train)
    chosen = sampled(len(train_labels))
    cut = cut_length(len(chosen))
    linear = tfidf_linear(
        Texts(texts=texts_of_split(dataset, "train", cut=cut, chosen=chosen), labels=train_labels[chosen]),
        Texts(texts=texts_of_split(dataset, "validation", cut=cut), labels=target_labels(validation)),
        texts_of_split(dataset, "test", cut=cut),
        seed=seed,
        beat=beat,
    )
    return [
        Baseline(name="majority", predicted=majority(train_labels, rows=len(test.rows))),
        Baseline(name="tfidf-linear", predicted=linear.predictions, description=linear.description),
    ]


def texts_of_split(dataset: Path, split: str, *, cut: int, chosen: NDArray[np.int64] | None = None) -> list[str]:
    """Return the texts of a split, each cut to so many characters. chosen: indexes of the rows that are wanted; None: all."""
    wanted = None if chosen is None else set(chosen.tolist())
    numbered = enumerate(read_texts(dataset, split))
    return [text[:cut] for index, (_, text, _) in numbered if wanted is None or index in wanted]


def _summary(labels: Sequence[str]) -> str:
    return f"Classifies a text as one of {len(labels)} classes: {', '.join(f'`{label}`' for label in labels)}."


def _loading(temperature: float) -> str:
    return (
        "import torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("model").eval()\n'
        'tokenizer = AutoTokenizer.from_pretrained("model")\n'
        'inputs = tokenizer(["Your text"], truncation=True, padding=True, return_tensors="pt")\n'
        "with torch.inference_mode():\n"
        "    logits = model(**inputs).logits\n"
        "scores = logits.softmax(-1)  # what the model server answers\n"
        f"confidence = (logits / {temperature}).softmax(-1).max(-1).values  # how often such a prediction is right, by the temperature\n"
        "for row, sure in zip(scores, confidence):\n"
        "    print(model.config.id2label[row.argmax().item()], row.max().item(), sure.item())\n"
    )


TEXT_CLASSIFICATION = Task(
    name="text-classification",
    auto_class="AutoModelForSequenceClassification",
    architectures="MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    problem_type="single_label_classification",
    peft_type="SEQ_CLS",
    formats=("text-label",),
    text_of=_text_of,
    encode=_encode,
    with_all_tokens=None,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=_loss_sum,
    target_values=_target_values,
    prior_loss=_prior_loss,
    primary_metric="accuracy",
    metrics=row_metrics,
    evaluate=evaluate_rows,
    choose=likeliest_class,
    calibration_error=class_calibration_error,
    score=row_accuracy,
    gain=row_accuracy_gain,
    paired=paired_rows,
    other_measures={"macro_f1": Measure(score=row_macro_f1, paired=paired_macro_f1)},
    fit_baselines=partial(fit_baselines, _target_labels),
    rival="tfidf-linear",
    rival_title="TF-IDF + linear",
    balance=balanced_classes,
    features=TEXT_CLASSIFICATION_FEATURES,
    card=CardTexts(
        title="Text classification",
        summary=_summary,
        unit="test rows",
        confusion="Test rows by true class (line) and predicted class (column):",
        function="softmax",
        calibrated="test rows",
        limits=(
            "Every text gets one of the classes, also one that fits none; a low calibrated confidence is the only sign.",
        ),
        loading=_loading,
    ),
)
