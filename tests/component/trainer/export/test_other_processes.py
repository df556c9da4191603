"""What export does in a process of its own: the same digest, and no half artifact where its volume is full."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ranks import run_ranks

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.export.stage import export

ELSEWHERE = Path(__file__).with_name("elsewhere.py")
LORA = MethodSettings(type="lora", rank=4)


def test_another_process_gives_the_same_digest(runs, posts):
    config = runs.tiny(method=LORA)
    here = export(config, posts).digest
    shutil.rmtree(Path(config.paths.job_dir) / "artifact")
    assert run_ranks(ELSEWHERE, "digest_of_export", world_size=1, config=json.dumps(config.to_wire())) == [here]


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="needs a mount namespace for a volume of its own",
)
def test_a_full_volume_leaves_no_half_artifact(runs, posts, tmp_path):
    config = runs.tiny(evaluation={"baselines": False, "bootstrapSamples": 100})  # measured before anything is written
    size = export(config, posts).size_bytes
    volume = tmp_path / "volume"
    volume.mkdir()
    full = config.model_copy(update={"paths": config.paths.model_copy(update={"job_dir": str(volume)})})
    sizes = [int(size * share) for share in (0.05, 0.2, 0.5, 0.8, 0.95)]
    (errors,) = run_ranks(
        ELSEWHERE, "export_to_small_volumes", world_size=1, config=json.dumps(full.to_wire()), sizes=sizes
    )
    assert len(errors) == len(sizes)
    for error in errors:
        assert error["message"].startswith("the artifact cannot be written")
        assert "ENOSPC" in error["message"]
        assert "make room on the volume" in error["hint"]
        assert error["left"] == []
