"""What tasks have in common whose classes are the tokens of a vocabulary: their loss, and what evaluation keeps of a row.

The token column `labels` holds at each position the token that the model is to predict there, IGNORED where the loss does not count. The token column `bytes`
holds how many bytes (UTF-8) of text that token stands for.

Shapes: N = rows of a split, B = rows of a batch, T = tokens of a row, V = tokens of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_trainer.dataset.shards import IGNORED, LABELS
from tuneloop_trainer.evaluation.metrics import entropy_of_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tuneloop_trainer.dataset.shards import TokenizedSplit

BYTES = "bytes"
"""Name of the token column."""


def token_loss_sum(output: Any, labels: Tensor, label_smoothing: float) -> Tensor:
    """Return the SUM of the cross-entropy over the targets, in float32; labels: int64 [B, T]. Of [B, T, V] logits those of targets alone are brought to float32."""
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    is_target = labels != IGNORED
    return functional.cross_entropy(
        output.logits[is_target].float(), labels[is_target], reduction="sum", label_smoothing=label_smoothing
    )


def sums_of_rows(output: Any, labels: Tensor) -> Tensor:
    """Return for each row the loss of its targets in nats, and how many of them are the likeliest token, float64 [B, 2]. labels: int64 [B, T]."""
    import torch  # noqa: PLC0415  (seconds)
    from torch.nn import functional  # noqa: PLC0415  (seconds)

    is_target = labels != IGNORED
    logits, targets, row = output.logits[is_target].float(), labels[is_target], is_target.nonzero()[:, 0]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    kept = torch.stack([losses.double(), (logits.argmax(dim=-1) == targets).double()], dim=1)
    return torch.zeros(len(labels), kept.shape[1], dtype=kept.dtype, device=kept.device).index_add_(0, row, kept)


def one_line_per_row(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return 1 for each row, [N]: its sums are kept."""
    return np.ones(len(split.rows), dtype=np.int64)


def targets_and_bytes(split: TokenizedSplit) -> NDArray[np.int64]:
    """Return what the sums of each row are of, int64 [N, 2]: targets, and bytes of the text that these stand for."""
    shards = zip(split.token_columns[BYTES], split.token_columns[LABELS], strict=True)
    last_rows = split.first_rows[1:]
    bytes_of_rows = [
        np.add.reduceat(np.where(labels == IGNORED, 0, sizes), split.starts[first:last], dtype=np.int64)
        for (sizes, labels), first, last in zip(shards, split.first_rows, last_rows, strict=False)
    ]
    return np.stack([split.targets, np.concatenate(bytes_of_rows)], axis=1)


def unigram_entropy(split: TokenizedSplit) -> float:
    """Return the mean loss of a target, in nats, for a model that knows how often each token is a target and nothing else."""
    return entropy_of_tokens(shard[shard != IGNORED] for shard in split.token_columns[LABELS])


def entropy_of_tokens(shards: Iterable[NDArray[np.int32]]) -> float:
    """Return the entropy of the shares of all tokens, in nats, without holding more than those of a shard."""
    counts = np.zeros(0, dtype=np.int64)
    for tokens in shards:
        found = np.bincount(tokens, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return entropy_of_counts(counts)


def bytes_of_tokens(text: str, ends: Sequence[int]) -> NDArray[np.int32]:
    """Return how many bytes (UTF-8) of a text each token stands for, [T]; a character of several tokens belongs to the first. ends: of each token, in characters."""
    sizes = np.cumsum([0, *(len(character.encode("utf-8", "surrogatepass")) for character in text)])
    reached = np.maximum.accumulate(np.asarray(ends, dtype=np.int64))
    return np.diff(sizes[reached], prepend=0).astype(np.int32)
