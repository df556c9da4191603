"""What `tuneloop validate` says about the artifact that a ModelDeployment names."""

from __future__ import annotations

from contextlib import nullcontext
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


@pytest.mark.parametrize(
    ("folders", "problem"),
    [
        (("adapter",), None),
        (("model", "adapter"), None),
        (("model",), "spec.adapters[0].uri: pvc://work/films holds no adapter: a FineTuneJob with method.type: lora publishes one"),
        ((), "spec.adapters[0].uri: pvc://work/films is no artifact: there is no "),
    ],
)  # fmt: skip
def test_a_pretrained_model_is_a_base_of_adapters(
    claim: Path, capsys: pytest.CaptureFixture[str], folders: tuple[str, ...], problem: str | None
) -> None:
    folder = claim.parents[1]
    (claim / "base").mkdir()
    (claim / "base/config.json").write_text("{}")
    (claim / "films").mkdir()
    for name in folders:
        (claim / "films" / name).mkdir()
        (claim / "films/manifest.json").write_text("{}")
    manifest = yaml.safe_load((folder / "api.yaml").read_text())
    manifest["spec"] = {
        "model": {"uri": "pvc://work/base"},
        "adapters": [{"name": "films", "uri": "pvc://work/films"}],
    }
    (folder / "api.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    with nullcontext() if problem is None else pytest.raises(TuneloopExit):
        validate(claim)
    assert (problem or "ModelDeployment api: ok") in capsys.readouterr().out
