"""What `tuneloop validate` says about the artifact that a ModelDeployment names."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from artifact import write_manifest

from tuneloop_api.contract.artifact import ONNX_FP32, ONNX_INT8, Int8File, Manifest, OnnxFiles
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


def published(folder: Path) -> Manifest:
    """Write the manifest of the files in a folder; returns it."""
    return write_manifest(folder, ("negative", "positive"), name="reviews", max_tokens=64, temperature=1.5)


def artifact(claim: Path, *folders: str, files: tuple[str, ...] = ()) -> Manifest:
    """Write an artifact; returns its manifest. files: paths inside it."""
    for folder in folders:
        (claim / "artifact" / folder).mkdir(parents=True)
    for file in files:
        (claim / "artifact" / file).parent.mkdir(parents=True, exist_ok=True)
        (claim / "artifact" / file).write_bytes(b"numbers")
    return published(claim / "artifact")


def ask_for(claim: Path, **spec: Any) -> None:
    """Write these fields into the manifest of the deployment."""
    file = claim.parents[1] / "api.yaml"
    manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    manifest["spec"] |= spec
    file.write_text(yaml.safe_dump(manifest), encoding="utf-8")


def problem_of(claim: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is found wrong, after the name of the deployment."""
    with pytest.raises(TuneloopExit):
        validate(claim)
    return capsys.readouterr().out.partition("ModelDeployment api: ")[2].rstrip()


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
    (claim / "base").mkdir()
    (claim / "base/config.json").write_text("{}")
    (claim / "films").mkdir()
    for name in folders:
        (claim / "films" / name).mkdir()
        published(claim / "films")
    ask_for(claim, model={"uri": "pvc://work/base"}, adapters=[{"name": "films", "uri": "pvc://work/films"}])
    with nullcontext() if problem is None else pytest.raises(TuneloopExit):
        validate(claim)
    assert (problem or "ModelDeployment api: ok") in capsys.readouterr().out


OTHER = f"sha256:{'0' * 64}"


def test_another_digest_than_that_of_the_artifact_is_refused(claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = artifact(claim, "model").digest()
    ask_for(claim, model={"uri": URI, "digest": OTHER})
    assert problem_of(claim, capsys).startswith(
        f"spec.model.digest: {OTHER} is not the digest of {URI}, which is {found}"
    )
    ask_for(claim, model={"uri": URI, "digest": found})
    validate(claim)


def test_another_digest_than_that_of_an_adapter_is_refused(claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact(claim, "model", "adapter")
    ask_for(claim, adapters=[{"name": "films", "uri": URI, "digest": OTHER}])
    assert problem_of(claim, capsys).startswith(f"spec.adapters[0].digest: {OTHER} is not the digest of {URI}")


@pytest.mark.parametrize(
    ("runtime", "files", "needed"),
    [
        pytest.param({"engine": "onnx"}, (), "onnx/model.onnx", id="no ONNX"),
        pytest.param({"engine": "onnx", "dtype": "int8"}, ("onnx/model.onnx",), "onnx/model_int8.onnx", id="no int8"),
        pytest.param({"engine": "onnx"}, ("onnx/model.onnx",), None, id="fp32"),
        pytest.param({"engine": "onnx", "dtype": "int8"}, ("onnx/model_int8.onnx",), None, id="int8"),
        pytest.param({"engine": "torch"}, (), None, id="another engine"),
    ],
)
def test_an_engine_needs_its_file(
    claim: Path,
    capsys: pytest.CaptureFixture[str],
    runtime: dict[str, str],
    files: tuple[str, ...],
    needed: str | None,
) -> None:
    artifact(claim, "model", files=files)
    ask_for(claim, runtime=runtime)
    if needed is None:
        validate(claim)
    else:
        words = f"spec.runtime.engine: onnx needs {needed}, which {URI} does not have: run"
        assert problem_of(claim, capsys).startswith(words)


def test_why_a_job_has_not_published_a_file_is_said(claim: Path, capsys: pytest.CaptureFixture[str]) -> None:
    int8 = Int8File(rows=2000, agreement=0.9, least_agreement=0.98, refusal="it agrees on 90 % of the rows")
    manifest = artifact(claim, "model").model_copy(update={"onnx": OnnxFiles(rows=9, tolerance=0.1, int8=int8)})
    (claim / "artifact" / "manifest.json").write_text(manifest.model_dump_json(by_alias=True), encoding="utf-8")
    ask_for(claim, runtime={"engine": "onnx", "dtype": "int8"})
    assert f"onnx/{ONNX_INT8}, which {URI} does not have (it agrees on 90 % of the rows)" in problem_of(claim, capsys)
    ask_for(claim, runtime={"engine": "onnx"})
    assert f"onnx/{ONNX_FP32}, which {URI} does not have: run" in problem_of(claim, capsys)


@pytest.mark.parametrize("content", ["", "{}", "[" * 100_000], ids=["empty", "no manifest", "too deep"])
def test_a_damaged_manifest_is_named(claim: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    artifact(claim, "model")
    (claim / "artifact" / "manifest.json").write_text(content, encoding="utf-8")
    problem = problem_of(claim, capsys)
    assert problem.startswith(
        f"spec.model.uri: {URI} is no artifact that can be served: {claim}/artifact/manifest.json"
    )
