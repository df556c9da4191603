"""The texts that a model writes for a split: counted alike whoever of the ranks writes them, and as plain transformers writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_configs import run_config
from tiny_writers import reversed_words, tiny_writer, word_tokenizer, write_rows

from tuneloop_trainer.dataset.shards import open_split, read_rows
from tuneloop_trainer.engine.engine import Engine
from tuneloop_trainer.evaluation.written_texts import sums_of_rows
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.tasks import task_of
from tuneloop_trainer.training.generation_loop import written_sums

MOST = 7


class Rank:
    """One rank of a gang, which hears nothing of the others: what it sums is its own part."""

    device, zero_stage = torch.device("cpu"), 0

    def __init__(self, model: Any, *, rank: int, world_size: int) -> None:
        self.model, self.rank, self.world_size = model, rank, world_size

    def generate(self, inputs: dict[str, torch.Tensor], *, beat: Any) -> torch.Tensor:
        return Engine.generate(self, inputs, beat=beat)  # type: ignore[arg-type]

    def all_reduce_sum(self, values: torch.Tensor) -> torch.Tensor:
        return values


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Any:
    """Return what writes the test rows on one rank: (rank, number of ranks) → sums, and how often it beat."""
    folder = tmp_path_factory.mktemp("job")
    config = run_config(
        folder, model=tiny_writer(folder / "model", "bart"), task="text2text-generation", method={"type": "full"},
        sources=[write_rows(folder / "rows.jsonl", reversed_words(120))], taskOptions={"maxTargetTokens": MOST},
    )  # fmt: skip
    dataset = Path(prepare(config, Reporter(config)).dataset_path)
    task = task_of(config.settings)
    model = load_model(folder / "model", task=task, labels=[], pad_token_id=0, dropout=None, seed=0).eval()

    def run(rank: int, world_size: int) -> tuple[np.ndarray, int]:
        beats: list[None] = []
        sums = written_sums(
            Rank(model, rank=rank, world_size=world_size), open_split(dataset, "test"), dataset=dataset, task=task, generation=task.generation,
            batch_size=4, pad_id=0, beat=lambda: beats.append(None),
        )  # fmt: skip
        assert model.training
        return sums, len(beats)

    run.rows, run.model = [row for _, row in read_rows(dataset, "test")], model  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_parts_of_all_ranks_are_what_a_single_rank_counts(written, world_size):
    whole, _ = written(0, 1)
    parts = [written(rank, world_size)[0] for rank in range(world_size)]
    assert np.array_equal(sum(parts), whole)
    assert (whole[:, 0] == 1).all()
    assert all((part[:, 0] == 0).any() for part in parts)


def test_a_text_is_that_of_plain_transformers_and_every_token_of_a_batch_beats(written):
    sums, beats = written(0, 1)
    tokenizer, model = word_tokenizer(), written.model.eval()
    alone = [
        model.generate(
            input_ids=torch.tensor([tokenizer(row["source"])["input_ids"]]),
            max_new_tokens=MOST,
            num_beams=1,
            do_sample=False,
        )
        for row in written.rows
    ]
    texts = [tokenizer.decode(ids[0], skip_special_tokens=True) for ids in alone]
    assert np.array_equal(sums, sums_of_rows(texts, [row["target"] for row in written.rows]).astype(np.float32))
    batches = -(-len(written.rows) // 4)
    assert beats > 2 * batches
