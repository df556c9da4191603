"""Token classification: one label per word, as in named-entity recognition.

The model reads the words joined by spaces, as any other text: so a served model sees the same tokens as training did, whatever the
tokenizer does with spaces. A word belongs to the tokens that begin in it, by the tokenizer's character offsets.

Shapes: W = words of a row, T = tokens of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.tasks.task import IGNORED, LABELS, EncodedRow, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

WORDS = "words"
"""Token column: index of the word in its row; -1 for a token of no word."""


def text_of(row: Row) -> str:
    """Return the text that the model reads: the words with a space between."""
    return " ".join(row["tokens"])


def encode(tokenizer: Any, rows: Sequence[Row], label_ids: Mapping[str, int]) -> list[EncodedRow]:
    """Return each row `{"tokens": [str], "tags": [str]}` as tokens, with the class ids as token column `labels`, and the index of each token's word as `words`.

    The first token of a word has the word's class id; all others, and special tokens, are IGNORED. A word without a token of its own (spaces alone, a control
    character) has no label.
    """
    encoded = tokenizer(
        [text_of(row) for row in rows],
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
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    owner = np.repeat(np.stack([np.arange(len(words)), np.full(len(words), -1)], axis=1).ravel(), _with_spaces(lengths))
    places = np.where(owner >= 0, np.arange(len(owner)), len(owner))
    next_place = np.minimum.accumulate(np.append(places, len(owner))[::-1])[::-1]
    begin = next_place[np.minimum(offsets[:, 0], len(owner))]
    return np.where(begin < offsets[:, 1], np.append(owner, -1)[begin], -1)


def _with_spaces(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lengths of words and of the space after each of them, in turn, int64 [2 W]."""
    return np.stack([lengths, np.ones_like(lengths)], axis=1).ravel()
