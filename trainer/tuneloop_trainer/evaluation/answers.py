"""Evaluation of answers that are spans of a context: exact match and F1 of words, as the script of SQuAD counts them.

The best answer of a row is the likeliest one of all its windows; the row has no answer where even the window that holds the least of none says so:
    no answer  <=>  min over windows of log p(none) - threshold > max over windows of log p(best answer).
The probabilities are those of a window over the tokens of its context and its first token. Source: Devlin et al. 2019 (arXiv:1810.04805), section 4.3.

Shapes: N = rows, M = windows, K = numbers that are kept of a window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.artifact import AnswerSpans
from tuneloop_api.features.question_answering import NEVER, NULL, SPAN, exact_match, token_f1
from tuneloop_trainer.evaluation.measure import Evaluation, measured
from tuneloop_trainer.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.intervals import Bootstrap, Interval
    from tuneloop_trainer.evaluation.metrics import Floats
    from tuneloop_trainer.evaluation.predictions import Predictions

LOSS, FIRST, LAST, EXACT, F1 = 0, 3, 4, 5, 6
"""Places among the kept numbers, beside NULL and SPAN: the window's loss, the first and last token of its best answer, and how right that answer is."""
KEPT, WIDTH = 5, 7
"""Numbers that the model's outputs give, and those with what takes the texts."""


@dataclass(frozen=True)
class RowScores:
    """What the best answer of each row is worth, [N] each."""

    margin: Floats
    """By how much no answer is likelier than the best answer, in nats."""
    exact: Floats
    f1: Floats
    answerable: NDArray[np.bool_]
    """Whether the context holds an answer."""

    def at(self, threshold: float | None) -> tuple[Floats, Floats]:
        """Return exact match and F1 where no answer is given above the threshold; None: an answer is always given."""
        silent = np.zeros(len(self.margin), dtype=np.bool_) if threshold is None else self.margin > threshold
        right = (~self.answerable).astype(np.float64)
        return np.where(silent, right, self.exact), np.where(silent, right, self.f1)


def scored_answer(answer: str, right: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of an answer."""
    return exact_match(answer, right), token_f1(answer, right)


def row_scores(predictions: Predictions, values: NDArray[Any] | None = None) -> RowScores:
    """Return the scores of each row. values: [M, K] of another model for the same windows; None: those of the predictions."""
    values = predictions.values if values is None else values
    starts = predictions.offsets[:-1]
    spans = values[:, SPAN].astype(np.float64)
    best = np.maximum.reduceat(spans, starts)
    rank = np.where(spans == best[predictions.row_of_target], np.arange(len(spans)), len(spans))
    window = np.minimum.reduceat(rank, starts)  # of equals the first
    return RowScores(
        margin=np.minimum.reduceat(values[:, NULL].astype(np.float64), starts) - best,
        exact=values[window, EXACT].astype(np.float64),
        f1=values[window, F1].astype(np.float64),
        answerable=predictions.labels[starts] == 1,
    )


def best_threshold(scores: RowScores) -> float | None:
    """Return the threshold with the highest F1; None where every row has an answer, so that nothing can be chosen.

    It lies half-way between two margins; where 0 is as good, it is 0. Among equals the one that answers most rows is taken.
    """
    if scores.answerable.all():
        return None
    order = np.argsort(scores.margin, kind="stable")
    margins = scores.margin[order]
    answered = np.concatenate([[0.0], np.cumsum(scores.f1[order])])
    unanswered = np.concatenate([np.cumsum(~scores.answerable[order][::-1])[::-1], [0]])
    borders = np.concatenate([[margins[0] - 1.0], (margins[:-1] + margins[1:]) / 2, [margins[-1] + 1.0]])
    is_border = np.concatenate([[True], margins[:-1] < margins[1:], [True]])  # equal margins cannot be told apart
    totals = np.where(is_border, answered + unanswered, -1.0)
    if scores.at(0.0)[1].sum() >= totals.max() - 1e-9:
        return 0.0
    return float(borders[np.flatnonzero(totals >= totals.max() - 1e-9)[-1]])


def answer_metrics(predictions: Predictions, _labels: Sequence[str]) -> dict[str, float]:
    """Return the mean loss of windows, and exact match and F1 of rows; no answer is given where it is likelier, if any row has none."""
    scores = row_scores(predictions)
    exact, f1 = scores.at(None if scores.answerable.all() else 0.0)
    return {
        "loss": float(predictions.values[:, LOSS].mean(dtype=np.float64)),
        "exact_match": float(exact.mean()),
        "f1": float(f1.mean()),
    }


def evaluate_answers(
    *,
    validation: Predictions,
    test: Predictions,
    labels: Sequence[str],
    bootstrap: Bootstrap,
    doc_stride: int,
    max_answer_tokens: int,
) -> Evaluation:
    """Return every number of the model; the threshold is chosen on the validation split."""
    del labels
    threshold = best_threshold(row_scores(validation))
    scores = row_scores(test)
    exact, f1 = scores.at(threshold)
    metrics = [
        measured("exact_match", bootstrap.of_mean(exact)),
        measured("f1", bootstrap.of_mean(f1)),
    ]
    parts = {"has_answer": scores.answerable, "no_answer": ~scores.answerable}
    for name, part in parts.items():
        if part.any() and not part.all():
            metrics.append(
                measured(f"{name}_exact_match", bootstrap.of_sums(np.stack([exact * part, part], axis=1), _mean))
            )
            metrics.append(measured(f"{name}_f1", bootstrap.of_sums(np.stack([f1 * part, part], axis=1), _mean)))
    windows = np.diff(test.offsets)
    losses = np.add.reduceat(test.values[:, LOSS].astype(np.float64), test.offsets[:-1])
    metrics.append(measured("log_loss", bootstrap.of_sums(np.stack([losses, windows], axis=1), _mean)))
    return Evaluation(
        metrics=metrics,
        confusion=None,
        classes={},
        temperature=1.0,
        answer_spans=AnswerSpans(doc_stride=doc_stride, max_answer_tokens=max_answer_tokens, null_threshold=threshold),
    )


def decided(test: Predictions, evaluation: Evaluation) -> Predictions:
    """Return the predictions with the threshold taken off the probability of no answer, so that 0 decides."""
    spans = evaluation.answer_spans
    values = test.values.copy()
    values[:, NULL] = NEVER if spans is None or spans.null_threshold is None else values[:, NULL] - spans.null_threshold
    return replace(test, values=values)


def kept_values(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a model chooses: all that is kept of it."""
    return values


def answer_f1(test: Predictions, values: NDArray[Any], _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the F1 of another model's values, [M, K], on the rows of `test`; see `_f1_beside`."""
    return bootstrap.of_mean(_f1_beside(test, values))


def answer_f1_gain(test: Predictions, baseline: NDArray[Any], _labels: Sequence[str], bootstrap: Bootstrap) -> Interval:
    """Return the model's F1 minus that of a baseline's values, [M, K], on the same rows, with a paired interval. test: see `decided`."""
    return bootstrap.of_mean(row_scores(test).at(0.0)[1] - _f1_beside(test, baseline))


def _f1_beside(test: Predictions, values: NDArray[Any]) -> Floats:
    """Return the F1 of each row for other values, [N]: no answer is given where it is likelier, but where the model itself always gives an answer. test: see `decided`."""
    always_answers = bool((test.values[:, NULL] == NEVER).all())
    return row_scores(test, values).at(None if always_answers else 0.0)[1]


def _mean(sums: NDArray[Any]) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
