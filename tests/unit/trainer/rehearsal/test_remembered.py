"""A rehearsal is repeated if, and only if, something changed that it depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from run_configs import run_config

from tuneloop_api.contract.results import DataCounts, PrepareResult, Resolved
from tuneloop_api.wire.model import changed
from tuneloop_trainer.rehearsal.remembered import remembered

if TYPE_CHECKING:
    from pathlib import Path

RESOLVED = Resolved(
    labels=["a", "b"],
    max_tokens=64,
    global_batch_size=32,
    micro_batch_size=16,
    steps_per_epoch=10,
    total_steps=30,
    warmup_steps=2,
    learning_rate=2e-4,
    precision="fp32",
    stage=0,
)


def prepared_of(*, model: str = "r", labels: tuple[str, ...] = ("a", "b")) -> PrepareResult:
    return PrepareResult(
        counts=DataCounts(rows=1, splits={}, bad=0, duplicates=0, truncated=0),
        resolved=changed(RESOLVED, labels=list(labels)),
        dataset_digest="d",
        dataset_path="",
        model_path="",
        model_revision=model,
        model_type="bert",
        report_path="",
        cache_hit=True,
    )


def rehearsals(folder: Path, *, revision: str = "r", labels: tuple[str, ...] = ("a", "b"), **settings: Any) -> int:
    """Return how many rehearsals are made for usual settings and then for these."""
    made: list[str] = []
    for changes, model, names in (({}, "r", ("a", "b")), (settings, revision, labels)):
        prepared = prepared_of(model=model, labels=names)
        given = run_config(folder, **changes).settings
        remembered(folder / "job" / "rehearsal.json", given, prepared, rehearse=lambda: made.append("") or "done")  # type: ignore[func-returns-value]
    return len(made)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"training": {"epochs": 9.0, "learningRate": 1e-4, "globalBatchSize": 64}},
        {"evaluation": {"baselines": False}},
        {"checkpoint": {"everySteps": 7}},
        {"gang": {"gpusPerNode": 0, "nodes": 4}},
    ],
)
def test_what_it_does_not_depend_on_repeats_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    assert rehearsals(tmp_path, **change) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "r2"},
        {"labels": ("b", "a")},
        {"method": {"type": "full"}},
        {"method": {"rank": 4}},
        {"output": {"mergeAdapter": False}},
        {"training": {"dropout": 0.3}},
        {"training": {"labelSmoothing": 0.1}},
        {"training": {"seed": 7}},
        {"training": {"neftuneAlpha": 5.0}},
        {"training": {"layerwiseLrDecay": 0.9}},
        {"training": {"gradientCheckpointing": "always"}},
        {"data": {"train": [{"uri": "file:///a.csv"}], "balance": {"focalGamma": 2.0}}},
        {"gang": {"gpusPerNode": 1}},
    ],
)
def test_what_it_depends_on_repeats_it(tmp_path: Path, change: dict[str, Any]) -> None:
    assert rehearsals(tmp_path, **change) == 2


def test_a_damaged_file_is_no_memory(tmp_path: Path) -> None:
    assert rehearsals(tmp_path) == 1
    (tmp_path / "job" / "rehearsal.json").write_text("[1")
    assert rehearsals(tmp_path) == 1


def test_a_rehearsal_that_fails_is_made_again(tmp_path: Path) -> None:
    def fail() -> str:
        raise ValueError

    file, settings = tmp_path / "job" / "rehearsal.json", run_config(tmp_path).settings
    with pytest.raises(ValueError, match="^$"):
        remembered(file, settings, prepared_of(), rehearse=fail)
    assert not file.exists()
