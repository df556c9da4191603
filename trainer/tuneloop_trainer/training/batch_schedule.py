"""Which rows are trained together, in which order, with which random numbers: pure functions of the seed.

The unit is the global micro-batch g of step t. It depends on the data, the seed, t and g alone, never on the number of ranks: W ranks
share out the micro-batches of a step (rank r runs every g with g ≡ r mod W), so that 1, 2 or 3 ranks train the same model.

Shapes: N = rows of the split, S = steps of an epoch.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tuneloop_trainer.tasks.packing import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Int64s = NDArray[np.int64]

WINDOW = 50
"""Global batches within which rows of like length are brought together: leaves about 2 % padding, and keeps the order random."""
_ORDER, _RANDOM = 0, 1
"""What a seed is for: the two uses never share a stream."""


@dataclass(frozen=True)
class EpochPlan:
    """The global batches of one epoch, in the order in which they are trained."""

    rows: Int64s
    """[N] every row of the split once, step after step."""
    starts: Int64s
    """[S + 1] where each step's rows begin; the last is N."""
    micro_batch: int
    """Rows of one micro-batch; the last one of a step may have fewer."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the epoch."""
        return len(self.starts) - 1

    def step_rows(self, step: int) -> Int64s:
        """Return the rows of one global batch."""
        return self.rows[self.starts[step] : self.starts[step + 1]]

    def micro_batches(self, step: int) -> list[Int64s]:
        """Return the rows of each global micro-batch g of a step."""
        rows = self.step_rows(step)
        return [rows[start : start + self.micro_batch] for start in range(0, len(rows), self.micro_batch)]


@dataclass(frozen=True)
class Tokens:
    """How many tokens were trained."""

    real: int
    computed: int
    """With padding."""

    @property
    def padding_fraction(self) -> float:
        """Padding / computed tokens."""
        return 1 - self.real / self.computed if self.computed else 0.0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.real + other.real, self.computed + other.computed)


@dataclass(frozen=True)
class Share:
    """What one rank runs in one of its turns of a step."""

    micro_batch: int
    """g, which names the loss slot and the random numbers."""
    rows: Int64s
    live: bool
    """False for a dummy: every rank makes the same number of forward and backward calls, those of a dummy with weight zero."""


class BatchSchedule:
    """The whole run: which rows each step t trains, over as many epochs as it takes."""

    def __init__(
        self, lengths: Int64s, *, seed: int, global_batch: int, micro_batch: int, packed: bool = False
    ) -> None:
        self.lengths = lengths
        """[N] tokens of each row, or [N, S] tokens of each row in each of its sequences."""
        self._packed = packed
        """The rows of a micro-batch are packed; these are the same rows either way."""
        self.steps_per_epoch = -(-len(lengths) // global_batch)
        self._planned = functools.lru_cache(maxsize=1)(
            functools.partial(plan_epoch, lengths, seed=seed, global_batch=global_batch, micro_batch=micro_batch)
        )

    def epoch(self, step: int) -> int:
        """Return the epoch that step t belongs to, from 0."""
        return step // self.steps_per_epoch

    def micro_batches(self, step: int) -> list[Int64s]:
        """Return the rows of each global micro-batch g of step t."""
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        return self._planned(epoch=epoch).micro_batches(step_of_epoch)

    def tokens_by_rank(self, step: int, world_size: int) -> list[int]:
        """Count by rank the tokens of step t that it computes, with padding, dummies aside."""
        micro_batches = self.micro_batches(step)
        return [
            count_tokens(micro_batches[rank::world_size], self.lengths, packed=self._packed).computed
            for rank in range(world_size)
        ]

    def tokens(self, step: int) -> Tokens:
        """Count the tokens of step t, over all ranks."""
        return count_tokens(self.micro_batches(step), self.lengths, packed=self._packed)


def plan_epoch(lengths: Int64s, *, epoch: int, seed: int, global_batch: int, micro_batch: int) -> EpochPlan:
    """Divide an epoch into global batches of rows of like length.

    lengths: int64 [N], tokens of each row, or [N, S], in each of its sequences. The rows are shuffled; within windows of `WINDOW` global batches they are sorted by length and
    cut into global batches, whose order is then shuffled over the whole epoch. The rest that fills no global batch comes last.
    """
    generator = np.random.default_rng([seed, _ORDER, epoch])
    order = generator.permutation(len(lengths))
    whole = len(order) // global_batch * global_batch
    window = WINDOW * global_batch
    sorted_windows = [_by_length(order[at : min(at + window, whole)], lengths) for at in range(0, whole, window)]
    batches = np.concatenate([*sorted_windows, order[:0]]).reshape(-1, global_batch)
    generator.shuffle(batches)
    rows = np.concatenate([batches.reshape(-1), _by_length(order[whole:], lengths)])
    starts = np.append(np.arange(0, len(rows), global_batch), len(rows))
    return EpochPlan(rows=rows, starts=starts, micro_batch=micro_batch)


def shares(micro_batches: Sequence[Int64s], *, rank: int, world_size: int) -> list[Share]:
    """Return what a rank runs of one step: its own micro-batches, then a dummy if others have one more."""
    turns = -(-len(micro_batches) // world_size)
    mine = [turn * world_size + rank for turn in range(turns)]
    dummy = Share(micro_batch=0, rows=micro_batches[0][:1], live=False)
    return [Share(micro_batch=g, rows=micro_batches[g], live=True) if g < len(micro_batches) else dummy for g in mine]


def random_seed(seed: int, *, step: int, micro_batch: int) -> int:
    """Return the seed of the random numbers (dropout) of one global micro-batch.

    All 64 bits are mixed: torch's CPU generator looks at the lower 32 alone.
    """
    return int(np.random.SeedSequence([seed, _RANDOM, step, micro_batch]).generate_state(1, np.uint64)[0])


def count_tokens(micro_batches: Sequence[Int64s], lengths: Int64s, *, packed: bool = False) -> Tokens:
    """Count the tokens of some micro-batches. packed: their rows are packed into lines; each row has one sequence then."""
    return Tokens(
        real=sum(int(lengths[rows].sum()) for rows in micro_batches),
        computed=sum(
            _lines(lengths[rows], packed=packed) * int(lengths[rows].max(axis=0).sum()) for rows in micro_batches
        ),
    )


def _lines(lengths: Int64s, *, packed: bool) -> int:
    return lay_out(lengths.reshape(-1)).lines if packed else len(lengths)


def _by_length(rows: Int64s, lengths: Int64s) -> Int64s:
    whole = lengths[rows].sum(axis=tuple(range(1, lengths.ndim)))
    return rows[np.argsort(whole, kind="stable")]
