"""The configuration with which `validate` and `plan` run the trainer on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from local_manifests import fine_tune_job

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_cli.commands.known_objects import known_objects
from tuneloop_cli.commands.validate import local_settings, trainer_config
from tuneloop_cli.local.cluster.object_files import ObjectFiles
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_cli.local.kubelet.pod_plan import Folders

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_of_any_name_takes_the_place_of_the_claims(tmp_path: Path) -> None:
    folders = Folders(root=tmp_path / 'my "data" \\ here')
    manifest = fine_tune_job(data={"train": [{"uri": "pvc://shared/rows.csv"}]}, storage={"claim": "work"})
    config = RunConfig.from_wire(
        trainer_config(
            FineTuneJob.from_wire(manifest),
            manifest,
            folders=folders,
            settings=local_settings(),
            known=known_objects([], folders=folders),
        )
    )
    assert config.paths.claims == {name: str(folders.claim(name)) for name in ("demo", "shared", "work")}
    assert config.paths.datasets == str(folders.claim("work") / "datasets")
    assert config.paths.job_uri.startswith("pvc://work/jobs/reviews-")
    assert config.progress is None


def test_feedback_is_where_a_deployment_of_this_folder_keeps_it(tmp_path: Path) -> None:
    folders, manifest = Folders(root=tmp_path), fine_tune_job(data={"train": [{"uri": "feedback://reviews"}]})
    with pytest.raises(
        NotAccepted, match=r"spec.data.train\[0\].uri: found feedback://reviews; there is no ModelDeploy"
    ):
        trainer_config(
            FineTuneJob.from_wire(manifest),
            manifest,
            folders=folders,
            settings=local_settings(),
            known=known_objects([], folders=folders),
        )
    deployment = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {
            "model": {"uri": "pvc://models/a"},
            "feedback": {"storeInputs": "all", "storage": {"claim": "labels"}},
        },
    }
    ObjectFiles(tmp_path).write(deployment)
    wire = trainer_config(
        FineTuneJob.from_wire(manifest),
        manifest,
        folders=folders,
        settings=local_settings(),
        known=known_objects([], folders=folders),
    )
    assert wire["paths"]["feedback"] == {"reviews": str(folders.claim("labels") / "feedback" / "reviews")}
