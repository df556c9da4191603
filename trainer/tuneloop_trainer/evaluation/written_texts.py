"""How near texts that a model wrote are to those that it was to write: what each row adds to the sums, and the metrics of the sums.

A metric of a corpus is one of sums over rows, so that any ranks may count any rows, and an interval draws rows without counting a text again.
BLEU is that of sacrebleu with its own tokenizer (13a) and exponential smoothing, chrF that of sacrebleu (characters up to 6-grams, beta 2), ROUGE the mean over
rows of the F-measures of rouge-score without a stemmer. BLEU and chrF are from 0 to 100, as sacrebleu gives them; all others are from 0 to 1.
Sources: Post 2018, arXiv:1804.08771; Popović 2015, doi:10.18653/v1/W15-3049; Lin 2004, aclanthology W04-1013.

Shapes: N = rows, S = sums (`SUMS`).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.evaluation.metrics import ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from tuneloop_trainer.evaluation.metrics import Floats

_WORD_ORDERS, _CHARACTER_ORDERS = 4, 6
_BETA = 2
_COUNTED = ("rows", "exact", "written", "wanted", "rouge1", "rouge2", "rougeL")
_BLEU = slice(len(_COUNTED), len(_COUNTED) + 2 * _WORD_ORDERS)
_CHRF = slice(_BLEU.stop, _BLEU.stop + 3 * _CHARACTER_ORDERS)
SUMS = _CHRF.stop
"""Sums that the metrics are made of."""
_WORD = re.compile(r"[^\W_]+")
"""rouge-score splits at all but a-z and 0-9; letters of other languages are letters here."""
_SPACES = re.compile(r"\s+")


def sums_of_rows(written: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Return what each row adds to the sums, float64 [N, S]. written: texts of the model; wanted: those of the rows."""
    return np.array([_sums(*pair) for pair in zip(written, wanted, strict=True)], dtype=np.float64).reshape(-1, SUMS)


def _sums(written: str, wanted: str) -> list[float]:
    counts = _bleu().sentence_score(written, [wanted])
    words, wanted_words = (_WORD.findall(text.lower()) for text in (written, wanted))
    return [
        1.0,
        float(written.strip() == wanted.strip()),
        counts.sys_len,
        counts.ref_len,
        *(_overlap(_ngrams(words, order), _ngrams(wanted_words, order)) for order in (1, 2)),
        _f_measure(common_length(words, wanted_words), len(words), len(wanted_words)),
        *counts.counts,
        *counts.totals,
        *_character_counts(_SPACES.sub("", written), _SPACES.sub("", wanted)),
    ]


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415  (only evaluation needs it)

    return BLEU(effective_order=True)


def _ngrams(items: Sequence[str], order: int) -> Counter[Any]:
    return Counter(zip(*(items[start:] for start in range(order)), strict=False))


def _overlap(found: Counter[Any], wanted: Counter[Any]) -> float:
    return _f_measure((found & wanted).total(), found.total(), wanted.total())


def _f_measure(right: int, found: int, wanted: int) -> float:
    return 2 * right / (found + wanted) if right else 0.0


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    lengths = [0] * (len(second) + 1)
    for item in first:
        before = 0  # of the line above, one place to the left
        for place, other in enumerate(second, start=1):
            above = lengths[place]
            lengths[place] = before + 1 if item == other else max(above, lengths[place - 1])
            before = above
    return lengths[-1]


def _character_counts(written: str, wanted: str) -> list[int]:
    """Return n-grams of characters for each order: found, wanted, and in both. A text that is too short for an order counts nothing for it."""
    counts = []
    for order in range(1, _CHARACTER_ORDERS + 1):
        found, right = _ngrams(written, order), _ngrams(wanted, order)
        counts += [found.total() if right else 0, right.total(), (found & right).total()]
    return counts


def chrf(sums: NDArray[Any]) -> Floats:
    """Return chrF, 0 to 100, of sums [..., S]. Orders that no text is long enough for do not count."""
    found, wanted, right = np.moveaxis(sums[..., _CHRF].reshape(*sums.shape[:-1], _CHARACTER_ORDERS, 3), -1, 0)
    counts = (found > 0) & (wanted > 0)
    orders = counts.sum(axis=-1)
    precision = ratio((ratio(right, found) * counts).sum(axis=-1), orders)
    recall = ratio((ratio(right, wanted) * counts).sum(axis=-1), orders)
    return 100 * ratio((1 + _BETA**2) * precision * recall, _BETA**2 * precision + recall)


def bleu(sums: NDArray[Any]) -> Floats:
    """Return BLEU, 0 to 100, of sums [..., S]."""
    right, total = np.split(sums[..., _BLEU].astype(np.float64), 2, axis=-1)
    misses = np.cumsum((right == 0) & (total > 0), axis=-1)  # each order without a match halves what it is smoothed by
    precision = ratio(np.where(right > 0, right, 0.5**misses), total)
    with np.errstate(divide="ignore"):
        mean = np.exp(np.log(precision).mean(axis=-1))
    written, wanted = _sum(sums, "written"), _sum(sums, "wanted")
    brevity = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(written, 1)))
    result: Floats = np.where(right.any(axis=-1), 100 * brevity * mean, 0.0)
    return result


def _sum(sums: NDArray[Any], name: str) -> NDArray[Any]:
    return sums[..., _COUNTED.index(name)]


def _per_row(name: str) -> Callable[[NDArray[Any]], Floats]:
    return lambda sums: ratio(_sum(sums, name), _sum(sums, "rows"))


WRITTEN_METRICS: Mapping[str, Callable[[NDArray[Any]], Floats]] = {
    "chrf": chrf,
    "bleu": bleu,
    "rouge1": _per_row("rouge1"),
    "rouge2": _per_row("rouge2"),
    "rougeL": _per_row("rougeL"),
    "exact_match": _per_row("exact"),
    "length_ratio": lambda sums: ratio(_sum(sums, "written"), _sum(sums, "wanted")),
}
"""Sums [..., S] → the metric, [...]. The length ratio is in tokens of BLEU."""
