"""The configuration with which `validate` and `plan` run the trainer on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_manifests import fine_tune_job

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.commands.validate import local_settings, trainer_config
from tuneloop_cli.local.kubelet.pod_plan import Folders

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_of_any_name_takes_the_place_of_the_claims(tmp_path: Path) -> None:
    folders = Folders(root=tmp_path / 'my "data" \\ here')
    manifest = fine_tune_job(data={"train": [{"uri": "pvc://shared/rows.csv"}]}, storage={"claim": "work"})
    config = RunConfig.from_wire(
        trainer_config(FineTuneJob.from_wire(manifest), manifest, folders=folders, settings=local_settings())
    )
    assert config.paths.claims == {name: str(folders.claim(name)) for name in ("demo", "shared", "work")}
    assert config.paths.datasets == str(folders.claim("work") / "datasets")
    assert config.paths.job_uri.startswith("pvc://work/jobs/reviews-")
    assert config.progress is None
