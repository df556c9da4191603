"""What is left of the checkpoints after the export."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop_trainer.export.cleanup import clean_checkpoints
from tuneloop_trainer.export.stage import export

THERE = ["step-00000010-a1", "step-00000020-a1", "step-00000020-a2", "step-00000030-a2"]
LEFTOVERS = ["step-00000015-a1.suspect", "step-00000040-a1.tmp", "step-00000005-a1.trash"]
LEFT = {"KeepBest": ["step-00000020-a2"], "KeepAll": [*THERE, *LEFTOVERS], "Delete": []}


def left(config) -> list[str]:
    return sorted(path.name for path in Path(config.paths.job_dir, "checkpoints").glob("step-*"))


@pytest.fixture
def config(runs, request):
    config = runs.tiny(checkpoint={"cleanup": request.param})
    for name in (*THERE, *LEFTOVERS):
        folder = Path(config.paths.job_dir, "checkpoints", name)
        folder.mkdir(parents=True)
        (folder / "MANIFEST.json").write_text("{}")
    return config


@pytest.mark.parametrize("config", LEFT, indirect=True)
def test_what_is_kept_is_what_the_spec_says_however_often_it_is_done(config) -> None:
    for _ in range(2):
        clean_checkpoints(config, attempt=2, published_step=20)
        assert left(config) == sorted(LEFT[config.settings.checkpoint.cleanup])


@pytest.mark.parametrize("config", ["Delete"], indirect=True)
def test_an_export_that_is_repeated_publishes_the_same_without_checkpoints(config, posts) -> None:
    first = export(config, posts)
    assert left(config) == []
    assert export(config, posts).digest == first.digest


def test_a_job_without_checkpoints_has_nothing_to_clean(runs) -> None:
    clean_checkpoints(runs.tiny(), attempt=1, published_step=20)
