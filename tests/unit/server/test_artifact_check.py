"""The check of an artifact before a program that is not ours reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from artifact import manifest_of

from tuneloop_api.contract.artifact import ArtifactFile
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
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
