"""Evaluation of sequences of tags: spans of words, each of one type, as in named-entity recognition.

A span counts as found only if its first word, its last word and its type are all right. Tags are read leniently, as CoNLL's evaluation
does (Tjong Kim Sang and De Meulder 2003, doi:10.3115/1119176.1119195) and seqeval after it. The same rule holds for IOB1, IOB2 and BIOES:
two neighbouring words are parts of one span, unless one of them is outside (O), the first one ends a span (E, S), the second one
begins a span (B, S), or their types differ.

Shapes: N = rows (sentences), M = targets (words), C = classes (tags), K = types, S = spans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.results import Measured
from tuneloop_trainer.evaluation.calibration import expected_calibration_error
from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import Floats, Integers, class_scores, confusion_matrix, log_losses, ratio
from tuneloop_trainer.evaluation.paired_scores import PairedScores
from tuneloop_trainer.evaluation.temperature import chosen_temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.predictions import Predictions

OUTSIDE = "O"
_BEGINS, _ENDS = "BSU", "ESL"
_POSITIONS = "BIESLU"
"""Positions in a span that a tag can begin with; U and L are other letters for S and E."""


@dataclass(frozen=True)
class Tags:
    """What each class id says of a word."""

    types: tuple[str, ...]
    """Types of spans, sorted, K of them."""
    type_of: Integers
    """[C] index of the type; -1 outside."""
    begins: NDArray[np.bool_]
    """[C] a span begins with such a word, whatever comes before."""
    ends: NDArray[np.bool_]
    """[C] a span ends with such a word, whatever comes after."""


@dataclass(frozen=True)
class Spans:
    """Spans in the order of their first words."""

    first: Integers
    """[S] target of the first word."""
    last: Integers
    """[S] target of the last word."""
    type: Integers
    """[S] index of the type."""


def read_tags(labels: Sequence[str]) -> Tags:
    """Read class names such as `B-PER`. A name without a position is the type itself, and is read as `I-…`, as Hugging Face does."""
    split = [_split(label) for label in labels]
    types = tuple(sorted({type_ for _, type_ in split if type_ is not None}))
    return Tags(
        types=types,
        type_of=np.array([-1 if type_ is None else types.index(type_) for _, type_ in split], dtype=np.int64),
        begins=np.array([position in _BEGINS for position, _ in split]),
        ends=np.array([position in _ENDS for position, _ in split]),
    )


def _split(label: str) -> tuple[str, str | None]:
    """Return the position and the type of a class name; the type is None outside."""
    if label == OUTSIDE:
        return OUTSIDE, None
    position, dash, type_ = label.partition("-")
    return (position, type_) if dash and len(position) == 1 and position in _POSITIONS else ("I", label)


def find_spans(classes: Integers, offsets: Integers, tags: Tags) -> Spans:
    """Return the spans of class ids, int64 [M], of rows that begin at offsets, int64 [N + 1]. No span reaches over the end of a row."""
    types = tags.type_of[classes]
    inside = types >= 0
    joined = inside[1:] & inside[:-1] & (types[1:] == types[:-1])
    joined &= ~tags.begins[classes[1:]] & ~tags.ends[classes[:-1]]
    starts_row = np.zeros(len(classes) + 1, dtype=np.bool_)
    starts_row[offsets] = True
    joined &= ~starts_row[1:-1]
    edge = np.ones(1, dtype=np.bool_)
    first = np.flatnonzero(inside & np.append(edge, ~joined)[: len(classes)])
    last = np.flatnonzero(inside & np.append(~joined, edge)[: len(classes)])
    return Spans(first=first, last=last, type=types[first])


@dataclass(frozen=True)
class SpanCounts:
    """How many spans are right, predicted and true, by row and by type."""

    by_row: Integers
    """[N, 3]"""
    by_type: Integers
    """[3, K]"""


def count_spans(truth: Integers, predicted: Integers, offsets: Integers, tags: Tags) -> SpanCounts:
    """Compare predicted class ids with true class ids, int64 [M] each, of rows that begin at offsets, int64 [N + 1]."""
    true, found = find_spans(truth, offsets, tags), find_spans(predicted, offsets, tags)
    place = np.full(len(truth) + 1, -1, dtype=np.int64)
    place[true.first] = np.arange(len(true.first))
    twin = place[found.first]  # no two spans begin at the same word
    there = twin >= 0
    same = (true.last[twin[there]] == found.last[there]) & (true.type[twin[there]] == found.type[there])
    right_first, right_type = found.first[there][same], found.type[there][same]
    row_of_word = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    firsts, kinds = (right_first, found.first, true.first), (right_type, found.type, true.type)
    return SpanCounts(
        by_row=np.stack([np.bincount(row_of_word[words], minlength=len(offsets) - 1) for words in firsts], axis=1),
        by_type=np.stack([np.bincount(types, minlength=len(tags.types)) for types in kinds]),
    )


def precision(sums: NDArray[Any]) -> Floats:
    """Return [...]: right / predicted spans, of sums [..., 3] of right, predicted and true spans."""
    return ratio(sums[..., 0], sums[..., 1])


def recall(sums: NDArray[Any]) -> Floats:
    """Return [...]: right / true spans."""
    return ratio(sums[..., 0], sums[..., 2])


def f1(sums: NDArray[Any]) -> Floats:
    """Return [...]: the harmonic mean of precision and recall, over spans of all types together."""
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def span_metrics(predictions: Predictions, labels: Sequence[str]) -> dict[str, float]:
    """Return loss (mean cross-entropy, without label smoothing) and accuracy of words; precision, recall and F1 of spans."""
    sums = _count(predictions, predictions.predicted, labels).by_row.sum(axis=0)
    return {
        "loss": float(log_losses(predictions.values, predictions.labels).mean()),
        "accuracy": float((predictions.predicted == predictions.labels).mean()),
        "span_f1": float(f1(sums)),
        "span_precision": float(precision(sums)),
        "span_recall": float(recall(sums)),
    }


def evaluate_spans(
    *, validation: Predictions, test: Predictions, labels: Sequence[str], bootstrap: Bootstrap
) -> Evaluation:
    """Return every number of the model; nothing but the temperature is taken from the validation split.

    Intervals draw whole rows: words of one sentence are not independent. The calibration error has none, as for rows of one class.
    """
    temperature = chosen_temperature(validation)
    counts = _count(test, test.predicted, labels)
    metrics = [
        measured("span_f1", bootstrap.of_sums(counts.by_row, f1)),
        measured("span_precision", bootstrap.of_sums(counts.by_row, precision)),
        measured("span_recall", bootstrap.of_sums(counts.by_row, recall)),
        measured("accuracy", bootstrap.of_sums(_sums_by_row(test, test.predicted == test.labels), _mean)),
    ]
    for suffix, divisor in (("", 1.0), ("_calibrated", temperature.value)):
        losses = log_losses(test.values / divisor, test.labels)
        error = expected_calibration_error(test.values, test.labels, temperature=divisor)
        metrics.append(measured(f"log_loss{suffix}", bootstrap.of_sums(_sums_by_row(test, losses), _mean)))
        metrics.append(Measured(name=f"ece{suffix}", value=error))
    return Evaluation(
        metrics=metrics,
        confusion=confusion_matrix(test.labels, test.predicted, classes=len(labels)),
        classes=dict(zip(read_tags(labels).types, class_scores(*counts.by_type), strict=True)),
        temperature=temperature.value,
        calibration=temperature.reason,
    )


def span_f1(test: Predictions, predicted: Integers, labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the F1 of spans of predicted class ids, int64 [M], on the rows of `test`."""
    return bootstrap.of_sums(_count(test, predicted, labels).by_row, f1)


def span_f1_gain(test: Predictions, baseline: Integers, labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the model's F1 of spans minus that of a baseline's class ids, int64 [M], on the same rows, with a paired interval."""
    both = [_count(test, predicted, labels).by_row for predicted in (test.predicted, baseline)]
    return bootstrap.of_sums(np.concatenate(both, axis=1), lambda sums: f1(sums[..., :3]) - f1(sums[..., 3:]))


def paired_spans(test: Predictions, champion: Integers, labels: Sequence[str]) -> list[PairedScores]:
    """Return the spans that each model has right, row by row: all of them, then those of each type that occurs. champion: its class ids, int64 [M]."""

    def scores(name: str | None, names: Sequence[str]) -> PairedScores:
        challenger, other = (_count(test, predicted, names).by_row for predicted in (test.predicted, champion))
        rows = np.arange(len(challenger))
        if name is not None:
            rows = np.flatnonzero((challenger + other).any(axis=1))
        return PairedScores(
            name=name,
            rows=rows,
            challenger=challenger[rows],
            champion=other[rows],
            statistic=f1,
            errors=lambda sums: sums[..., 1] + sums[..., 2] - 2 * sums[..., 0],
            zero_one=False,
        )

    slices = [
        scores(type_, [label if _split(label)[1] == type_ else OUTSIDE for label in labels])
        for type_ in read_tags(labels).types
    ]
    return [scores(None, labels), *(found for found in slices if len(found.rows))]


def _count(predictions: Predictions, predicted: Integers, labels: Sequence[str]) -> SpanCounts:
    return count_spans(predictions.labels, predicted, predictions.offsets, read_tags(labels))


def _sums_by_row(predictions: Predictions, values: NDArray[Any]) -> Floats:
    """Return float64 [N, 2]: the sum of the values of each row's words, [M], and how many words the row has."""
    rows = len(predictions.rows)
    return np.stack(
        [np.bincount(predictions.row_of_target, weights=values, minlength=rows), np.diff(predictions.offsets)], axis=1
    )


def _mean(sums: NDArray[Any]) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
