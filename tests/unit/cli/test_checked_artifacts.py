"""What `tuneloop validate` says about the artifact that a ModelDeployment names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tuneloop_cli.commands.validate import check_files
from tuneloop_cli.exits import Exit, TuneloopExit

URI = "pvc://work/artifact"


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """The folder of the claim; `api.yaml` beside it names an artifact there."""
    manifest = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "api"},
        "spec": {"model": {"uri": URI}},
    }
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    claim = tmp_path / "claims" / "work"
    claim.mkdir(parents=True)
    return claim


def artifact(claim: Path, *folders: str) -> None:
    for folder in folders:
        (claim / "artifact" / folder).mkdir(parents=True)
    (claim / "artifact" / "manifest.json").touch()


def validate(claim: Path) -> None:
    folder = claim.parents[1]
    check_files([folder / "api.yaml"], folder=folder)


@pytest.mark.parametrize("folders", [("model",), ("model", "adapter")])
def test_an_artifact_with_a_model_is_fine(
    claim: Path, capsys: pytest.CaptureFixture[str], folders: tuple[str, ...]
) -> None:
    artifact(claim, *folders)
    validate(claim)
    assert capsys.readouterr().out.endswith("ModelDeployment api: ok\n")


def test_an_adapter_alone_is_refused_with_what_to_do(claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact(claim, "adapter")
    with pytest.raises(TuneloopExit) as ended:
        validate(claim)
    assert ended.value.code == Exit.BAD_INPUT
    shown = capsys.readouterr().out
    assert f"spec.model.uri: {URI} holds an adapter alone" in shown
    assert shown.rstrip().endswith("run the job under another name with output.mergeAdapter: true, the default")


def test_a_folder_without_an_artifact_is_refused(claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TuneloopExit):
        validate(claim)
    assert (
        f"spec.model.uri: {URI} is no artifact: there is no {claim}/artifact/manifest.json" in capsys.readouterr().out
    )
