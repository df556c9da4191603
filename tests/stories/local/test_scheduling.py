"""A manifest with scheduling for a cluster runs on this machine, and the output names each field that was left out."""

from __future__ import annotations

import pytest
from tiny_models import sentences, tiny_bert
from workspace import Workspace, job_manifest

pytestmark = [pytest.mark.local_story, pytest.mark.full]  # `test_whole_way.py` has the lines about what is left out


def test_a_job_with_a_queue_and_a_time_to_live_runs_tells_its_result_and_is_gone_but_for_its_claim(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    tiny_bert(workspace.claim / "model")
    workspace.write_rows("rows.csv", sentences(200))
    manifest = job_manifest(
        training={"maxSteps": 4, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3},
        scheduling={"queueName": "team-a", "priorityClassName": "low", "minNodes": 1},
        ttlSecondsAfterFinished=0,
    )
    workspace.write("job.yaml", manifest)
    ended = workspace.tuneloop("run", "-f", "job.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "spec.scheduling.queueName: left out, there is no queue on one machine" in ended.stdout
    assert "spec.scheduling.priorityClassName: left out" in ended.stdout
    assert "accuracy" in ended.stdout
    assert workspace.tuneloop("get", "ftj", "reviews").returncode != 0
    assert (workspace.job_folder() / "artifact" / "manifest.json").is_file()
