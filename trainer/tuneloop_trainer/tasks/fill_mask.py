"""Fill-mask: the model predicts tokens that it cannot see, from the text around them. So it goes on learning a language from texts without labels.

Every row is a text, or a block of a text longer than `maxTokens`; its targets are some of its tokens (`masking`). Other ones are drawn for each epoch of training, and fixed ones for all
measurements, so that the model before training, the model after it and the baseline predict the same.

Shapes: B = rows of a batch, T = tokens of a row (of the longest row in a batch), V = tokens of the vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.features.fill_mask import FILL_MASK_FEATURES
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, WINDOW, open_split
from tuneloop_trainer.errors import ConfigError, ModelAccessError
from tuneloop_trainer.evaluation.language_model import (
    SUMS,
    comparable_losses,
    language_gain,
    language_score,
    sums_as_kept,
)
from tuneloop_trainer.evaluation.masked_language import evaluate_masked, masked_metrics, unigram_sums
from tuneloop_trainer.tasks.blocks import blocks_of
from tuneloop_trainer.tasks.language_model import (
    BYTES,
    bytes_of_tokens,
    one_line_per_row,
    sums_of_rows,
    targets_and_bytes,
    token_loss_sum,
    unigram_entropy,
)
from tuneloop_trainer.tasks.masking import FIXED, NO_UNIT, draw_masks, drawn_for_training, targets_of
from tuneloop_trainer.tasks.padding import padded, padded_inputs
from tuneloop_trainer.tasks.task import Baseline, Batch, CardTexts, EncodedRow, Row, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.dataset.shards import TokenizedSplit

UNITS = "units"
"""Token column: number of the word or token that is masked as a whole, in its row; NO_UNIT for a token that is never masked."""
_LONGEST_WORD = 16
"""A longer run of tokens is a text in a script without spaces, and no word: each of its tokens is masked by itself."""


def _text_of(row: Row) -> str:
    text: str = row["text"]
    return text


def _encode(
    tokenizer: Any, rows: Sequence[Row], _label_ids: Mapping[str, int], *, whole_word: bool = False
) -> list[EncodedRow]:
    """Return each row `{"text": str}` as tokens, with the token columns `units` and `bytes`."""
    if tokenizer.mask_token_id is None:
        raise ModelAccessError(
            "model.uri: the tokenizer has no mask token", hint="use a masked language model, such as bert or roberta"
        )
    encoded = tokenizer(
        [row["text"] for row in rows],
        add_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    special = np.array(tokenizer.all_special_ids)
    result = []
    for index, row in enumerate(rows):
        ids = np.array(encoded["input_ids"][index], dtype=np.int32)
        words = _words(encoded.word_ids(index), row["text"]) if whole_word else np.arange(len(ids))
        units = np.where(np.isin(ids, special), NO_UNIT, words).astype(np.int32)
        ends = [end for _, end in encoded["offset_mapping"][index]]
        columns = {UNITS: units, BYTES: bytes_of_tokens(row["text"], ends)}
        result.append(EncodedRow(input_ids=ids, token_columns=columns))
    return result


def _words(word_ids: Sequence[int | None], text: str) -> NDArray[np.int64]:
    """Return a number for each token, [T]: equal for the tokens of a word. word_ids: of the tokenizer, None for a special token."""
    words = np.array([NO_UNIT if word is None else word for word in word_ids], dtype=np.int64)
    found, word_of_token, sizes = np.unique(words, return_inverse=True, return_counts=True)
    if len(found[found != NO_UNIT]) == 1 and sizes.max() > 1 and len(text.split()) > 1:
        raise ConfigError(
            "taskOptions.wholeWord: the tokenizer of model.uri does not divide a text into words",
            hint="leave wholeWord out",
        )
    alone = words.max(initial=0) + 1 + np.arange(len(words))
    is_word = (words != NO_UNIT) & (sizes[word_of_token] <= _LONGEST_WORD)
    return np.where(is_word, words, alone)


def _with_targets(row: EncodedRow, row_id: int, *, probability: float = 0.15) -> EncodedRow:
    """Return a row after the cut with the token column `labels`: its targets as all measurements have them. A row without a token that may be masked has none."""
    units = row.token_columns[UNITS]
    targets = targets_of(int((units != NO_UNIT).sum()), probability)
    labels = np.full(len(row.input_ids), IGNORED, dtype=np.int32)
    if targets:
        block = int(row.row_columns.get(WINDOW, 0))
        labels = draw_masks(units, targets=targets, draw=FIXED, row=row_id, block=block).labels(row.input_ids)
    return replace(row, token_columns={**row.token_columns, LABELS: labels})


def _blocks(row: EncodedRow, most: int) -> list[EncodedRow]:
    """Return the blocks of a text, each within the special tokens that the tokenizer puts around texts: such a token is of no unit, and has no bytes."""
    units, sizes = row.token_columns[UNITS], row.token_columns[BYTES]
    inside = np.flatnonzero((units != NO_UNIT) | (sizes > 0))
    if not len(inside):
        return []
    leading, trailing = int(inside[0]), len(units) - 1 - int(inside[-1])
    return blocks_of(row, most, has_target=units != NO_UNIT, leading=leading, trailing=trailing)


def _with_options(task: Task, settings: Settings) -> Task:
    options = settings.task_options
    return replace(
        task,
        encode=partial(_encode, whole_word=options.whole_word),
        with_targets=partial(_with_targets, probability=options.mask_probability),
        target_share=options.mask_probability,
    )


def _collate(split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int, *, draw: Sequence[int] = FIXED) -> Batch:
    tokenizer = split.tokenizer
    assert tokenizer is not None  # of an opened split
    assert tokenizer.mask_token_id is not None  # `_encode` has refused such a tokenizer
    inputs, labels, others = {}, {}, tokenizer.plain_ids
    blocks = split.row_columns.get(WINDOW)
    for row in rows.tolist():
        ids = split.tokens(row)
        masks = draw_masks(
            split.token_column(UNITS, row),
            targets=int(split.targets[row]),
            draw=draw,
            row=int(split.rows[row]),
            block=0 if blocks is None else int(blocks[row]),
        )
        labels[row] = masks.labels(ids)
        inputs[row] = masks.inputs(ids, mask_token=tokenizer.mask_token_id, others=others)
    lengths = split.lengths[rows]
    plain = padded_inputs(split, rows, pad_id=pad_id)
    return Batch(
        inputs={**plain, "input_ids": padded(inputs.__getitem__, rows, lengths=lengths, fill=pad_id)},
        labels=padded(labels.__getitem__, rows, lengths=lengths, fill=IGNORED),
    )


def _collate_for_training(
    split: TokenizedSplit, rows: NDArray[np.int64], pad_id: int, *, seed: int, epoch: int
) -> Batch:
    return _collate(split, rows, pad_id, draw=drawn_for_training(seed=seed, epoch=epoch))


def _target_tokens(split: TokenizedSplit) -> Iterator[NDArray[np.int32]]:
    for row in range(len(split.rows)):
        labels = split.token_column(LABELS, row)
        yield labels[labels != IGNORED]


def _fit_baselines(dataset: Path, *, seed: int, beat: Callable[[float], None]) -> list[Baseline]:
    """Predict tokens by how often each stands in the training rows."""
    del seed
    train, test = open_split(dataset, "train"), open_split(dataset, "test")
    assert train.tokenizer is not None  # of an opened split
    counts = np.zeros(train.tokenizer.size, dtype=np.int64)
    for row in range(len(train.rows)):
        np.add.at(counts, train.tokens(row)[train.token_column(UNITS, row) != NO_UNIT], 1)
        beat(row / len(train.rows))
    return [Baseline(name="unigram", predicted=unigram_sums(counts, _target_tokens(test)))]


def _summary(_labels: Sequence[str]) -> str:
    return "Predicts tokens that are masked, from the text around them. It is a base model for texts such as those that it has read: a job can go on from it."


def _loading(_temperature: float) -> str:
    return (
        "from transformers import pipeline\n\n"
        'fill = pipeline("fill-mask", model="model")\n'
        'for found in fill(f"Your {fill.tokenizer.mask_token}."):  # what the model server answers\n'
        '    print(found["token_str"], found["score"])\n'
    )


FILL_MASK = Task(
    name="fill-mask",
    auto_class="AutoModelForMaskedLM",
    architectures="MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    problem_type=None,
    peft_type="FEATURE_EXTRACTION",  # PEFT has no type for masked language models; this one adds nothing to the model
    formats=("text",),
    text_of=_text_of,
    encode=_encode,
    special_tokens_in_texts=True,
    with_options=_with_options,
    with_all_tokens=None,
    with_targets=_with_targets,
    windows=_blocks,
    collate=_collate,
    collate_for_training=_collate_for_training,
    packing="bidirectional",
    target_labels=targets_and_bytes,
    loss_sum=token_loss_sum,
    target_values=sums_of_rows,
    values_per_line=lambda _: SUMS,
    lines_per_row=one_line_per_row,
    comparable=comparable_losses,
    has_new_head=False,
    prior_loss=unigram_entropy,
    primary_metric="bits_per_masked_byte",
    metrics=masked_metrics,
    evaluate=evaluate_masked,
    choose=sums_as_kept,
    calibration_error=None,
    score=language_score,
    gain=language_gain,
    paired=None,
    fit_baselines=_fit_baselines,
    rival="unigram",
    rival_title="the frequencies of tokens in the training rows",
    features=FILL_MASK_FEATURES,
    card=CardTexts(
        title="Fill-mask",
        summary=_summary,
        unit="masked tokens",
        confusion=None,
        function="softmax",
        calibrated="masked tokens",
        limits=(
            "Its numbers are of mask tokens at random places of whole texts; at a place of your choice it may be surer or less sure.",
            "`masked_perplexity` and `bits_per_masked_byte` are of the masked tokens alone, and cannot be compared with the perplexity of a model that writes.",
        ),
        loading=_loading,
    ),
)
