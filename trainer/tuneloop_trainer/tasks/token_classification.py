"""Token classification: a label for each word, as in named-entity recognition.

Every word is a target, at its first token. With `taskOptions.labelAllTokens` the further tokens of words are targets too, in training rows only:
what is measured stays the same.

The model reads the words joined by spaces, as any other text: so a served model sees the same tokens as training did, whatever the
tokenizer does with spaces. A word belongs to the tokens that stand for its characters, by the tokenizer's character offsets.

Shapes: N = rows of a split, B = rows of a batch, W = words of a row, T = tokens of a row, M = targets, C = classes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.token_classification import TOKEN_CLASSIFICATION_FEATURES
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, open_split, read_manifest, read_rows
from tuneloop_trainer.evaluation.calibration import class_calibration_error
from tuneloop_trainer.evaluation.metrics import class_prior_entropy
from tuneloop_trainer.evaluation.predictions import likeliest_class
from tuneloop_trainer.evaluation.spans import (
    OUTSIDE,
    evaluate_spans,
    paired_spans,
    read_tags,
    span_f1,
    span_f1_gain,
    span_metrics,
)
from tuneloop_trainer.evaluation.word_tags import most_frequent_tags
from tuneloop_trainer.tasks.balance import balanced_classes
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.dataset.shards import TokenizedSplit

WORDS = "words"
"""Token column: index of the word in its row; -1 for a token of no word."""


def _text_of(row: Row) -> str:
    return " ".join(row["tokens"])


def _encode(tokenizer: Any, rows: Sequence[Row], label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"tokens": [str], "tags": [str]}` as tokens, with the class ids as token column `labels`, and the index of each token's word as `words`.

    The first token of a word has the word's class id; all others, and special tokens, are IGNORED. A word without a token of its own
    (spaces alone, a control character) has no label.
    """
    encoded = tokenizer(
        [_text_of(row) for row in rows],
        add_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    result = []
    for row, ids, offsets in zip(rows, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        words = words_of_tokens(row["tokens"], np.array(offsets, dtype=np.int64).reshape(-1, 2))
        tags = np.array([label_ids[tag] for tag in row["tags"]], dtype=np.int32)
        labels = np.full(len(ids), IGNORED, dtype=np.int32)
        labeled, first = np.unique(words, return_index=True)
        labels[first[labeled >= 0]] = tags[labeled[labeled >= 0]]
        columns = {LABELS: labels, WORDS: words.astype(np.int32)}
        result.append(EncodedRow(input_ids=np.array(ids, dtype=np.int32), token_columns=columns))
    return result


def words_of_tokens(words: Sequence[str], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the word that each token belongs to, int64 [T]; -1 for a special token, and for a token of nothing but the space between words.

    words: as `text_of` joins them. offsets: int64 [T, 2], the characters of that text that each token stands for, from and to; equal for special tokens.
    """
    lengths = np.array([[len(word), 1] for word in words], dtype=np.int64).ravel()  # each word, and the space after it
    owner = np.repeat(np.stack([np.arange(len(words)), np.full(len(words), -1)], axis=1).ravel(), lengths)
    places = np.where(owner >= 0, np.arange(len(owner)), len(owner))
    next_place = np.minimum.accumulate(np.append(places, len(owner))[::-1])[::-1]
    begin = next_place[np.minimum(offsets[:, 0], len(owner))]
    return np.where(begin < offsets[:, 1], np.append(owner, -1)[begin], -1)


def with_all_tokens(row: EncodedRow, labels: Sequence[str]) -> EncodedRow:
    """Return a row in which the further tokens of each word are targets as well. labels: class names in the order of their ids.

    The tags stay correct in their scheme, and name the same spans. So a further token has I- of its word's type after B- and I-, and O after O.
    It is no target after E- and S-, which end their span, or if the I- tag is no label, or if the cut took the first token of its word.
    """
    targets, words = row.token_columns[LABELS], row.token_columns[WORDS]
    is_first = targets != IGNORED
    label_of_word = np.full(int(words.max(initial=-1)) + 1, len(labels))
    label_of_word[words[is_first]] = targets[is_first]
    further = (words >= 0) & ~is_first
    extended = targets.copy()
    extended[further] = _further_labels(tuple(labels))[label_of_word[words[further]]]
    return replace(row, token_columns={**row.token_columns, LABELS: extended})


@cache
def _further_labels(labels: tuple[str, ...]) -> NDArray[np.int32]:
    """Return the class id of the further tokens of a word by the class id of the word, [C + 1]; IGNORED where they are no targets, and at C."""
    ids = {label: index for index, label in enumerate(labels)}
    tags = [f"I-{label[2:]}" if label.startswith(("B-", "I-")) else label for label in labels]
    further = [IGNORED if tag.startswith(("E-", "S-")) else ids.get(tag, IGNORED) for tag in tags]
    return np.array([*further, IGNORED], dtype=np.int32)


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int) -> Batch:
    labels = padded(lambda row: split.token_column(LABELS, row), rows, lengths=split.lengths[rows], fill=IGNORED)
    return Batch(inputs=padded_inputs(split, rows, pad_id=pad_id), labels=labels)


def _of_targets(split: TokenizedSplit, column: str) -> Iterator[NDArray[np.int64]]:
    """Yield, row by row, the values of a token column at the row's targets."""
    for row in range(len(split.rows)):
        values = split.token_column(column, row)[split.token_column(LABELS, row) != IGNORED]
        yield values.astype(np.int64)


def _target_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *_of_targets(split, LABELS)])


def _word_labels(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return the class id of each word that has a target, in order; a word of several targets counts once."""
    rows = zip(_of_targets(split, LABELS), _of_targets(split, WORDS), strict=True)
    return np.concatenate(
        [np.zeros(0, dtype=np.int64), *(labels[np.diff(words, prepend=-1) > 0] for labels, words in rows)]
    )


def _loss_sum(output: Any, labels: Tensor, label_smoothing: float) -> Tensor:
    """Return the SUM of the cross-entropy over the targets, in float32; labels: int64 [B, T]."""
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    return functional.cross_entropy(
        output.logits.float().flatten(0, 1),
        labels.flatten(),
        reduction="sum",
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def _target_values(output: Any, labels: Tensor) -> Tensor:
    values: Tensor = output.logits[labels != IGNORED]
    return values


def _prior_loss(split: TokenizedSplit) -> float:
    return class_prior_entropy(_target_labels(split))


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Predict the most frequent tag, and the most frequent tag of each word in training."""
    del seed  # nothing is drawn
    labels, test = read_manifest(dataset).labels, open_split(dataset, "test")
    train_labels = _word_labels(open_split(dataset, "train"))
    commonest = int(np.bincount(train_labels).argmax())
    unknown = labels.index(OUTSIDE) if OUTSIDE in labels else commonest
    beat(0.2)
    tag_of = most_frequent_tags((row["tokens"], row["tags"]) for _, row in read_rows(dataset, "train"))
    beat(0.8)
    ids = {label: number for number, label in enumerate(labels)}
    predicted = [
        ids[tag_of[word]] if (word := row["tokens"][index]) in tag_of else unknown
        for (_, row), words in zip(read_rows(dataset, "test"), _of_targets(test, WORDS), strict=True)
        for index in words
    ]
    beat(1.0)
    return [
        Baseline(name="majority", predicted=np.full(len(predicted), commonest, dtype=np.int64)),
        Baseline(name="most-frequent-tag", predicted=np.array(predicted, dtype=np.int64)),
    ]


def _summary(labels: Sequence[str]) -> str:
    types = read_tags(labels).types
    return (
        f"Finds spans of {len(types)} {'type' if len(types) == 1 else 'types'} in a text: {', '.join(f'`{type_}`' for type_ in types)}. "
        f"It gives each word one of {len(labels)} tags: {', '.join(f'`{label}`' for label in labels)}."
    )


def _loading(_temperature: float) -> str:
    return (
        "from transformers import pipeline\n\n"
        'find = pipeline("token-classification", model="model", aggregation_strategy="first")\n'
        'for span in find("Your text"):  # what the model server answers with {"aggregation_strategy": "first"}\n'
        '    print(span["entity_group"], span["word"], span["score"])\n'
    )


TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    auto_class="AutoModelForTokenClassification",
    architectures="MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    problem_type=None,
    peft_type="TOKEN_CLS",
    formats=("tokens-tags",),
    text_of=_text_of,
    encode=_encode,
    with_all_tokens=with_all_tokens,
    collate=_collate,
    target_labels=_target_labels,
    loss_sum=_loss_sum,
    target_values=_target_values,
    prior_loss=_prior_loss,
    primary_metric="span_f1",
    metrics=span_metrics,
    evaluate=evaluate_spans,
    choose=likeliest_class,
    calibration_error=class_calibration_error,
    score=span_f1,
    gain=span_f1_gain,
    paired=paired_spans,
    fit_baselines=_fit_baselines,
    rival="most-frequent-tag",
    rival_title="the most frequent tag of each word",
    balance=balanced_classes,
    features=TOKEN_CLASSIFICATION_FEATURES,
    card=CardTexts(
        title="Token classification",
        summary=_summary,
        unit="test spans",
        confusion="Test words by true tag (line) and predicted tag (column):",
        function="softmax",
        calibrated="words of the test rows",
        limits=(
            "A span counts as found only if its first word, its last word and its type are right.",
            "A word is what stands between two spaces, as in the training data; words behind the cut have no tag and were not measured.",
        ),
        loading=_loading,
    ),
)
