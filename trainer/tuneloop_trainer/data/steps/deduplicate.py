"""Which rows repeat another one's text: within a pool of rows, and across splits."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from tuneloop_trainer.data.formats.table import TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from numpy.typing import NDArray


def text_key(text: str) -> bytes:
    """Return the 128-bit hash of a text; case, Unicode form and white space aside. 16 bytes."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return xxhash.xxh3_128_digest(" ".join(folded.split()).encode())


def equal_ids(keys: NDArray[np.void]) -> NDArray[np.int64]:
    """Return small integers that are equal where the keys are. V16 [N] to int64 [N]."""
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def repeated(texts: NDArray[np.int64], pools: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which rows repeat the text of an earlier row of their own pool. [N]."""
    _, first = np.unique(_pairs(texts, pools), return_index=True)
    again = np.ones(len(texts), dtype=np.bool_)
    again[first] = False
    return again


def conflicting(texts: NDArray[np.int64], labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the indexes of the rows whose text had another label when it was first seen, in reading order."""
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    return np.flatnonzero(labels != labels[first][inverse])


def leaking(texts: NDArray[np.int64], splits: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which rows stand on a side where their text must not be seen: of train if it stands in validation or test, of
    validation if it stands in test. `splits` [N], -1 for rows that are out already.
    """
    in_test = np.isin(texts, texts[splits == TEST])
    in_validation = np.isin(texts, texts[splits == VALIDATION])
    return ((splits == TRAIN) & (in_test | in_validation)) | ((splits == VALIDATION) & in_test)


def _pairs(texts: NDArray[np.int64], pools: NDArray[np.int8]) -> NDArray[np.int64]:
    return texts * 4 + pools
