"""Every combination that the table allows really runs: two steps, a save, a resume on another number of ranks, and publishing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ranks import run_ranks
from tiny_architectures import save_base, save_tokenizer, save_with_head

from tuneloop_api.combinations.table import METHODS, OPTIONS, PRECISIONS, TASKS, ZERO_STAGES, Combination, refusal
from tuneloop_trainer.tasks import TASKS as TASKS_BY_NAME

if TYPE_CHECKING:
    from tuneloop_trainer.tasks.task import Task

SCRIPT = Path(__file__).with_name("gang_combinations.py")
VALUES = {"freeze": ["embeddings|wte", r"layer\.0\.|h\.0\."]}
"""Of options that are no switches."""
VARIANTS: list[dict[str, Any]] = [
    *({"type": method} for method in METHODS),
    *({"type": method, option: VALUES.get(option, True)} for option, method in OPTIONS.items()),
]
CELLS = {
    f"{'-'.join(str(key if key in OPTIONS else value) for key, value in method.items())}-{task}-{stage}-{precision}": {
        "method": method, "task": task, "zero_stage": stage, "precision": precision,
    }
    for method in VARIANTS
    for task in TASKS
    for stage in ZERO_STAGES
    for precision in PRECISIONS
    if refusal(Combination(method=method["type"], options=frozenset(method.keys() & OPTIONS), task=task, zero_stage=stage, precision=precision)) is None
}  # fmt: skip
FEW = [
    "full-fill-mask-3-fp32",
    "lora-text-generation-3-bf16",
    "ia3-text-classification-3-bf16",
    "bitfit-token-classification-1-bf16",
    "prefix-question-answering-3-bf16",
    "prompt-text-generation-0-fp32",
    "p-tuning-text-classification-3-bf16",
    "lora-useDora-token-classification-2-fp32",
    "lora-useRslora-text2text-generation-3-fp32",
    "lora-usePissa-text-classification-3-bf16",
    "full-freeze-token-classification-2-bf16",
]
"""One of each variant, with all stages, formats of numbers and tasks among them."""


def test_the_few_cells_hold_every_value_of_every_axis() -> None:
    few = [CELLS[name] for name in FEW]
    assert [cell["method"] for cell in few] == VARIANTS
    for axis, values in (("task", TASKS), ("zero_stage", ZERO_STAGES), ("precision", PRECISIONS)):
        assert {cell[axis] for cell in few} == set(values)


def all_cells() -> list[Any]:
    """Return the names of all cells, those of a method and its options together."""
    return [
        pytest.param(
            [name for name, cell in CELLS.items() if cell["method"] == method],
            id=f"all-{'-'.join(method)}-{method['type']}",
            marks=pytest.mark.full,
        )
        for method in VARIANTS
    ]


ARCHITECTURES = {"text-generation": "gpt2", "text2text-generation": "bart"}
"""Architectures by task, where it is no encoder."""


def save_model(folder: Path, task: Task) -> None:
    """Write a pre-trained model, with its output layer if the task needs that of the files."""
    architecture = ARCHITECTURES.get(task.name, "bert")
    if task.has_new_head:
        save_base(folder, architecture)
    else:
        save_with_head(folder, architecture, task=task, labels=())
    save_tokenizer(folder)


@pytest.mark.parametrize("names", [pytest.param(FEW, id="few"), *all_cells()])
def test_what_the_table_allows_trains_resumes_and_is_published(tmp_path: Path, names: list[str]) -> None:
    cells = {name: CELLS[name] for name in names}
    for task in {cell["task"] for cell in cells.values()}:
        save_model(tmp_path / task, TASKS_BY_NAME[task])
    given = {"folder": str(tmp_path), "cells": cells}
    deadline = 60.0 + 20.0 * len(cells)
    moved = run_ranks(SCRIPT, "save_cells", world_size=2, deadline=deadline, **given)[0]
    assert {name for name, far in moved.items() if far > 1e-3} == cells.keys()
    (found,) = run_ranks(SCRIPT, "publish_cells", world_size=1, deadline=deadline, **given)
    assert found.keys() == cells.keys()
    for name, differences in found.items():
        assert differences.pop("resumed") == 0.0, name
        assert differences, name
        assert max(differences.values()) < 1e-5, (name, differences)
