"""`tuneloop plan` rehearses the job, too, on the first rows of the sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from run_configs import run_config
from tiny_models import sentences, write_csv
from transformers import BertForSequenceClassification

from tuneloop_trainer.check import check, plan

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tuneloop_api.contract.job_plan import JobPlan
    from tuneloop_api.contract.run_config import RunConfig


def config_of(folder: Path, model: Path) -> RunConfig:
    write_csv(folder / "train.csv", sentences(900))
    return run_config(folder, model=model, method={"type": "lora"}, preflight={"rehearsal": True})


def planned(folder: Path, model: Path) -> JobPlan:
    """Return the plan, which must leave nothing behind."""
    found = plan(config_of(folder, model))
    assert not [*(folder / "job").iterdir(), *(folder / "datasets").iterdir()]
    return found


def test_a_plan_says_what_was_rehearsed(tmp_path: Path, model: Path) -> None:
    found = planned(tmp_path, model)
    assert found.problems == []
    assert found.rehearsal is not None
    assert found.rehearsal.startswith("trained, saved, exported and loaded this model in ")


def test_a_fault_of_the_rehearsal_is_a_problem_of_the_plan(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        raise ValueError("no text is good enough")

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    found = planned(tmp_path, model)
    assert found.rehearsal is None
    assert [problem.message.partition(" (")[0] for problem in found.problems] == [
        "the rehearsal failed in training: ValueError: no text is good enough"
    ]
    check(config_of(tmp_path, model))  # `tuneloop validate` trains nothing
