"""A base that has a head already: each label keeps its row, and a head for other labels is not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_architectures import PAD, architectures, inputs, save_with_head

from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.tasks import TASKS
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_trainer.tasks.task import Task

BEFORE = ["O", "B-A", "I-A"]


def load(folder: Path, task: Task, labels: list[str], *, seed: int = 1) -> Any:
    return load_model(folder, task=task, labels=labels, pad_token_id=PAD, dropout=0.0, seed=seed).eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**inputs()).logits
    return found


@pytest.mark.parametrize(("task", "model_type"), architectures())
def test_the_rows_follow_the_names_of_the_labels(tmp_path: Path, task: str, model_type: str) -> None:
    save_with_head(tmp_path, model_type, task=TASKS[task], labels=BEFORE)
    before = load(tmp_path, TASKS[task], BEFORE)
    turned = load(tmp_path, TASKS[task], [BEFORE[2], BEFORE[0], BEFORE[1]])
    assert before.new_modules == turned.new_modules == ()
    assert turned.config.id2label == {0: "I-A", 1: "O", 2: "B-A"}
    torch.testing.assert_close(logits(turned), logits(before)[..., [2, 0, 1]])

    other = load(tmp_path, TASKS[task], ["O", "B-B", "I-B"])
    (drawn,) = other.new_modules
    changed = {
        name for name, weights in other.state_dict().items() if not torch.equal(weights, before.state_dict()[name])
    }
    assert changed
    assert all(name.rpartition(".")[0] == drawn for name in changed)
    assert other.head_origin == "new: that of the model's files is for other labels (O, B-A, I-A)"
    assert all(
        torch.equal(a, b)
        for a, b in zip(other.parameters(), load(tmp_path, TASKS[task], ["O", "B-B", "I-B"]).parameters(), strict=True)
    )


@pytest.mark.parametrize("labels", [["O", "B-A"], ["O", "B-A", "I-A", "B-B"]])
def test_a_head_of_another_size_is_new(tmp_path: Path, labels: list[str]) -> None:
    save_with_head(tmp_path, "roberta", task=TEXT_CLASSIFICATION, labels=BEFORE)
    model = load(tmp_path, TEXT_CLASSIFICATION, labels)
    assert model.new_modules == ("classifier.out_proj",)
    assert model.head_modules == ("classifier",)
    assert "is for other labels" in model.head_origin
