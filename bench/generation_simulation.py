"""Replays of a golden set in which similarities are drawn and the gate on GenerationQuality decides. Part of `rollout_gates.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tuneloop_operator.decide.model_deployment.gates.judge import judged
from tuneloop_operator.decide.model_deployment.gates.looks import single_look
from tuneloop_operator.decide.model_deployment.gates.paired_sums import PairedSums
from tuneloop_operator.decide.model_deployment.gates.quality import quality_loss
from tuneloop_operator.decide.model_deployment.gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

MARGIN, ALPHA = 0.03, 0.05
SHAPES = ("all answers", "some answers lost", "the same answers, some lost")
"""How a canary is worse: each answer a little, or some altogether; in the last one the other answers are stable's."""
_MEAN = 0.5
"""Of a similarity, by symmetry: so that the harm is exact."""
_AT_ONCE = 500


def replays(rng: np.random.Generator, *, shape: str, rows: int, worse: float, count: int) -> tuple[float, float]:
    """Return the shares of Pass and of Fail. worse: mean similarity that the canary lacks."""
    (look,) = single_look(rows, alpha=ALPHA)
    verdicts = [
        judged("quality", quality_loss(sums, levels=look.levels), margin=MARGIN, look=look).verdict
        for start in range(0, count, _AT_ONCE)
        for sums in drawn(rng, shape=shape, rows=rows, worse=worse, count=min(_AT_ONCE, count - start))
    ]
    return verdicts.count(Verdict.PASS) / count, verdicts.count(Verdict.FAIL) / count


def drawn(rng: np.random.Generator, *, shape: str, rows: int, worse: float, count: int) -> Iterator[PairedSums]:
    """Yield the sums of each replay. A row has a similarity ~ Beta(2, 2), around which both models scatter by 0.18: their difference by 0.24."""
    common = rng.beta(2, 2, (count, rows))
    stable = np.clip(common + rng.normal(0, 0.18, common.shape), 0, 1)
    canary = stable if shape == SHAPES[2] else np.clip(common + rng.normal(0, 0.18, common.shape), 0, 1)
    share = worse / _MEAN
    canary = canary * (1 - share) if shape == SHAPES[0] else np.where(rng.random(canary.shape) < share, 0, canary)
    sums = ((canary, stable), (canary * canary, stable * stable), (canary * stable, canary * stable))
    (c, s), (cc, ss), (cs, _) = [(first.sum(1), second.sum(1)) for first, second in sums]
    for place in range(count):
        yield PairedSums(
            rows=rows,
            canary=float(c[place]),
            stable=float(s[place]),
            canary_squared=float(cc[place]),
            stable_squared=float(ss[place]),
            product=float(cs[place]),
        )
