"""Number of nodes and ZeRO stage do not change the losses of the real model: the global batch alone decides."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from workspace import Workspace, job_manifest

pytestmark = [pytest.mark.local_story, pytest.mark.full, pytest.mark.timeout(900)]
DEMO = Path(__file__).resolve().parents[3] / ".tuneloop" / "claims" / "demo"
STEPS = 20
CELLS = [(nodes, stage) for nodes in (1, 2, 3) for stage in (0, 1, 2, 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cells")


@functools.cache
def losses(folder: Path, nodes: int, stage: int) -> list[float]:
    """Return the first 20 losses of MiniLM on film reviews, with its own dropout of 0.1."""
    workspace = Workspace(folder)
    workspace.claim.mkdir(parents=True, exist_ok=True)
    for name in ("minilm", "movie-reviews.csv"):
        if not (workspace.claim / name).exists():
            (workspace.claim / name).symlink_to(DEMO / name)
    source = {
        "uri": "pvc://work/movie-reviews.csv",
        "columns": {"text": "sentence", "label": "rating"},
        "labelRule": {"above": 0, "names": ["negative", "positive"], "dropWithin": 0.5},
    }
    name = f"cell-{nodes}-{stage}"
    manifest = job_manifest(
        model={"uri": "pvc://work/minilm"},
        data={"train": [source], "split": {"validation": 0.02, "test": 0.02}},
        training={"maxSteps": STEPS, "globalBatchSize": 32, "microBatchSize": 8, "learningRate": 2e-4},
        deepspeed={"stage": stage},
        resources={"nodes": nodes, "gpusPerNode": 0},
        checkpoint={"everySteps": STEPS},
        evaluation={"baselines": False, "bootstrapSamples": 200},
    )
    workspace.write(f"{name}.yaml", manifest | {"metadata": {"name": name}})
    ended = workspace.tuneloop("run", "-f", f"{name}.yaml", "--ranks", "3", timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [float(loss) for loss in workspace.losses(name).values()]


@pytest.mark.parametrize(("nodes", "stage"), CELLS)
def test_every_cell_gives_the_losses_of_one_node_without_zero(folder: Path, nodes: int, stage: int) -> None:
    ours, theirs = losses(folder, nodes, stage), losses(folder, 1, 0)
    assert len(ours) == STEPS
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-6
