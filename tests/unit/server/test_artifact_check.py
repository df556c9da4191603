"""The check of an artifact before a program that is not ours reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from artifact import manifest_of

from tuneloop_api.contract.artifact import AdapterBase, ArtifactFile
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.model import changed
from tuneloop_server.artifact_check import main

SHA256 = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"
"""Of `aaa`."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of a server whose artifact has one file."""
    folder = tmp_path / "artifact"
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights").write_bytes(b"aaa")
    manifest = manifest_of(["a"], files=[ArtifactFile(path="model/weights", size=3, sha256=SHA256)])
    (folder / "manifest.json").write_text(json.dumps(manifest.to_wire()))
    given: dict[str, Any] = {"artifact_path": str(folder), "artifact_uri": "pvc://m/reviews", "digest": manifest.digest()}  # fmt: skip
    written = ServerConfig(namespace="team", name="reviews", revision="1", **given)
    (tmp_path / "server.json").write_text(json.dumps(written.to_wire()))
    return tmp_path / "server.json"


@pytest.fixture
def check(config: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["artifact_check", str(config), *words])
        return main()

    return run


def test_a_whole_artifact_passes(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == ExitCode.OK
    assert check("--task", "text-classification") == ExitCode.OK
    assert capsys.readouterr().out.startswith("pvc://m/reviews: 1 files are as sha256:")


def test_a_damaged_file_is_named(check: Any, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "artifact/model/weights").write_bytes(b"aab")
    assert check() == ExitCode.STORAGE
    assert "model/weights: found SHA-256" in capsys.readouterr().err


def test_another_artifact_than_the_expected_one_is_refused(
    check: Any, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(config.read_text())
    config.write_text(json.dumps(document | {"digest": "sha256:" + 64 * "0"}))
    assert check() == ExitCode.STORAGE
    assert "expected sha256:000" in capsys.readouterr().err


def test_a_task_that_the_program_cannot_serve_is_refused(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--task", "token-classification", "--task", "text-generation") == ExitCode.MODEL_ACCESS
    assert capsys.readouterr().err == (
        "tuneloop-server: pvc://m/reviews: manifest.json has the task text-classification, "
        "this runtime serves token-classification, text-generation; set runtime.type: Builtin\n"
    )


@pytest.fixture
def adapter(config: Path) -> Path:
    """The folder of an adapter on the one file of the artifact; the configuration names it."""
    folder = config.parent / "films"
    (folder / "adapter").mkdir(parents=True)
    names = ("adapter_model.safetensors", "adapter_config.json", "config.json")
    for name in names:
        (folder / "adapter" / name).write_bytes(b"aaa")
    files = [ArtifactFile(path=f"adapter/{name}", size=3, sha256=SHA256) for name in names]
    base = AdapterBase(files=[ArtifactFile(path="weights.safetensors", size=3, sha256=SHA256)])
    manifest = changed(manifest_of(["a"], files=files), adapter_base=base)
    (folder / "manifest.json").write_text(json.dumps(manifest.to_wire()))
    place = {"name": "films", "artifactPath": str(folder), "artifactUri": "pvc://m/films"}
    _change(config, adapters=[place], digest=None)
    pre_trained = config.parent / "artifact"
    (pre_trained / "manifest.json").unlink()
    (pre_trained / "weights.safetensors").write_bytes(b"aaa")
    return folder


def _change(config: Path, **fields: Any) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))


def test_a_pre_trained_model_passes_with_the_adapters_on_it(
    check: Any, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("--task", "text-classification") == ExitCode.OK
    assert "pvc://m/films: 3 files are as sha256:" in capsys.readouterr().out


def test_a_damaged_adapter_is_named(check: Any, adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (adapter / "adapter/adapter_config.json").write_bytes(b"aab")
    assert check() == ExitCode.STORAGE
    assert "pvc://m/films: adapter/adapter_config.json: found SHA-256" in capsys.readouterr().err


def test_another_base_model_is_refused(check: Any, adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (adapter.parent / "artifact/weights.safetensors").write_bytes(b"aab")
    assert check() == ExitCode.MODEL_ACCESS
    assert "pvc://m/reviews: weights.safetensors: found SHA-256" in capsys.readouterr().err


def test_an_artifact_below_adapters_needs_its_digest(
    check: Any, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program is told to read the folder of a pre-trained model, and an artifact has its model in `model/`."""
    files = [ArtifactFile(path="model/weights.safetensors", size=3, sha256=SHA256)]
    manifest = manifest_of(["a"], files=files)
    (adapter.parent / "artifact/manifest.json").write_text(json.dumps(manifest.to_wire()))
    (adapter.parent / "artifact/model/weights.safetensors").write_bytes(b"aaa")
    assert check() == ExitCode.MODEL_ACCESS
    assert "pvc://m/reviews: holds manifest.json, expected the folder of a pre-trained model" in capsys.readouterr().err
    _change(adapter.parent / "server.json", digest=manifest.digest())
    assert check() == ExitCode.OK
