"""`tuneloop plan` shows what a job would do and changes nothing; training takes the planned memory."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from prepared_runs import DEMO, movie_sentences
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, job_manifest

pytestmark = pytest.mark.local_story
WORDS = 25
"""Words of the shortest sentence: every row is cut to them, so that every micro-batch is as large as planned."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    made.write_rows("rows.csv", sentences(300))
    tiny_bert(made.claim / "model")
    return made


def files(workspace: Workspace) -> set[Path]:
    return {path for path in (workspace.path / ".tuneloop").rglob("*") if path.is_file()}


def test_a_job_that_fits_is_planned_and_nothing_is_left_behind(workspace):
    workspace.write("job.yaml", job_manifest())
    before = files(workspace)
    ended = workspace.tuneloop("plan", "-f", "job.yaml", "-o", "json")
    plan = json.loads(ended.stdout)
    assert (ended.returncode, plan["ranks"], plan["resolved"]["microBatchSize"]) == (0, 2, 4)
    assert plan["sampled"] == plan["rows"]["train"]
    assert files(workspace) == before


@pytest.mark.full  # `tests/component/trainer/preflight` has what the plan of such a job names
def test_for_a_job_that_does_not_fit_the_plan_names_what_would(workspace):
    workspace.write("job.yaml", job_manifest(resources={"nodes": 2, "gpusPerNode": 0, "memory": "512Mi"}))
    ended = workspace.tuneloop("plan", "-f", "job.yaml")
    assert ended.returncode == 2, ended.stderr
    assert "resources.memory: 512 MiB is too little" in ended.stdout
    assert "set resources.memory: at least 1Gi" in ended.stdout


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_what_becomes_of_the_rows_is_known_before_the_job(workspace, command):
    rows = sentences(300)
    label = rows[0][1]
    odd = [
        *[(text.upper(), "another") for text, _ in rows[:50]],
        *[(f"{text} once more", label.title()) for text, _ in rows[:40]],
    ]
    workspace.write_rows("rows.csv", [*rows, *odd])
    workspace.write("job.yaml", job_manifest(preflight={"rehearsal": False}))
    ended = workspace.tuneloop(command, "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "new: the model's files hold none" in ended.stdout
    for words in (
        "50 of 390 rows were left out: 50 repeat the text of an earlier row (data.deduplicate.exact)",
        "50 rows have the text of an earlier row and another label",
        "labels that look alike are different classes: 'Class-0' (40 rows) and 'class-0' (150 rows)",
    ):
        assert words in ended.stdout


def test_a_job_whose_test_rows_lack_a_class_runs_where_that_is_allowed(workspace):
    rows = sentences(300)
    workspace.write_rows("test.csv", [(f"{text} too", label) for text, label in rows[:60] if label == rows[0][1]])
    test = {"test": [{"uri": f"pvc://{CLAIM}/test.csv"}]}
    data = {"train": [{"uri": f"pvc://{CLAIM}/rows.csv"}], **test, "allowMissingClasses": True}
    workspace.write("job.yaml", job_manifest(data=data, training={"maxSteps": 2, "globalBatchSize": 16}))
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    note = f"the test split has no row of {rows[1][1]!r}: nothing is measured of it there (data.allowMissingClasses)"
    assert note in ended.stdout
    assert note in workspace.tuneloop("describe", "ftj", "reviews").stdout


CELLS = [
    pytest.param({"type": "full"}, 0, 1, id="full, stage 0, one rank"),
    pytest.param({"type": "lora"}, 2, 2, id="LoRA, stage 2, two ranks"),
    pytest.param({"type": "full"}, 3, 2, id="full, stage 3, two ranks"),
]


@pytest.mark.full
@pytest.mark.parametrize(("method", "stage", "ranks"), CELLS)
def test_training_takes_the_memory_that_was_planned(tmp_path, method, stage, ranks):
    workspace = Workspace(tmp_path)
    long = [row for row in movie_sentences() if len(row[0].split()) >= WORDS]
    workspace.write_rows("rows.csv", random.Random(0).sample(long, 400))
    (workspace.claim / "model").symlink_to(DEMO / "minilm")
    manifest = job_manifest(
        data={"train": [{"uri": "pvc://work/rows.csv"}], "maxTokens": WORDS},
        method=method,
        deepspeed={"stage": stage},
        training={"maxSteps": 6, "globalBatchSize": 32, "microBatchSize": 16},
        resources={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 3},
    )
    workspace.write("job.yaml", manifest)
    ended = workspace.tuneloop("run", "-f", "job.yaml", "--plain")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert result(workspace, "prepare")["memory"]["total"] == pytest.approx(
        result(workspace, "train")["peakMemoryBytes"], rel=0.15
    )


def result(workspace: Workspace, stage: str) -> dict[str, Any]:
    return json.loads((workspace.job_folder() / f"{stage}.json").read_text())
