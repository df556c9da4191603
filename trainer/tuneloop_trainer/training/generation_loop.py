"""Lets the model write a text for every row of a split, on all ranks, and counts how near these are to the targets.

Shapes: N = rows of the split, S = sums (`Generation.sums_of_written`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tuneloop_api.contract.model_inputs import MODEL_INPUTS
from tuneloop_trainer.dataset.shards import TOKENIZER, read_rows
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.training.batch_schedule import shares
from tuneloop_trainer.training.evaluation_loop import summed_over_ranks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tuneloop_trainer.dataset.shards import TokenizedSplit
    from tuneloop_trainer.engine.engine import Engine
    from tuneloop_trainer.tasks.task import Generation, Task


def written_sums(
    engine: Engine,
    split: TokenizedSplit,
    *,
    dataset: Path,
    task: Task,
    generation: Generation,
    batch_size: int,
    pad_id: int,
    beat: Callable[[], None],
) -> NDArray[np.float32]:
    """Return what each row adds to the sums of written texts, [N, S]; collective, the same on all ranks and on any number of them.

    Batches do not depend on the number of ranks: a text may depend on its neighbours by rounding. `beat` is called after each token of a batch.
    """
    rows, tokenizer = [row for _, row in read_rows(dataset, split.name)], load_tokenizer(dataset / TOKENIZER)
    order = np.argsort(-split.lengths, kind="stable")
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    sums = np.zeros((len(rows), generation.sums_of_written([], []).shape[1]), dtype=np.float32)
    engine.model.eval()
    for share in shares(batches, rank=engine.rank, world_size=engine.world_size):
        inputs = task.collate(split, share.rows, pad_id).inputs
        ids = engine.generate({name: torch.from_numpy(inputs[name]) for name in MODEL_INPUTS}, beat=beat)
        if share.live:
            written = tokenizer.batch_decode(ids.cpu(), skip_special_tokens=True)
            sums[share.rows] = generation.sums_of_written([rows[row] for row in share.rows.tolist()], written)
        beat()
    engine.model.train()
    return summed_over_ranks(engine, sums)
