"""Each way in which an artifact cannot be served, by the real server: its class, exit code, hint and last lines in the termination message."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from artifact import write_manifest
from fork_server import fork
from server_process import DEADLINE, ROOT, SERVER, configuration, fork_process

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_end import ServerEnd
from tuneloop_server.__main__ import main

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def copy(artifact, tmp_path) -> Path:
    return Path(shutil.copytree(artifact.folder, tmp_path / "artifact"))


def end_of(folder: Path, tmp_path: Path, **changes: Any) -> tuple[int, ServerEnd, str]:
    """Let a server try to serve; return its exit code, its termination message and its log."""
    message = tmp_path / "termination-message"
    process, log = fork_process(configuration(folder, termination_message=str(message), **changes), tmp_path)
    try:
        code = process.wait(timeout=DEADLINE)
    finally:
        process.kill()
    return code, ServerEnd.model_validate_json(message.read_bytes()), log.read_text()


def list_again(folder: Path, artifact) -> None:
    """Write a manifest of what is there now, as if it had been published so."""
    write_manifest(
        folder, artifact.manifest.labels, name="reviews", max_tokens=artifact.manifest.max_tokens, temperature=1.0
    )


def an_unknown_architecture(folder: Path) -> None:
    config = json.loads((folder / "model/config.json").read_text())
    (folder / "model/config.json").write_text(json.dumps(config | {"model_type": "of-next-year"}))


def no_tokenizer(folder: Path) -> None:
    for path in (folder / "model").glob("*token*"):
        path.unlink()
    (folder / "model/vocab.txt").unlink(missing_ok=True)


def weights_that_are_no_numbers(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model/model.safetensors")
    weights["classifier.bias"].fill_(float("nan"))
    save_file(weights, folder / "model/model.safetensors", metadata={"format": "pt"})


def test_an_artifact_that_is_not_there(tmp_path):
    code, end, log = end_of(tmp_path / "nothing", tmp_path)
    assert (code, end.failure_class) == (ExitCode.MODEL_ACCESS, "ArtifactMissing")
    assert end.message.startswith("pvc://models/reviews: manifest.json cannot be read (No such file or directory)")
    assert "kubectl get ftj -o wide" in (end.hint or "")
    assert log == f"tuneloop-server: {end.message}\n"


def test_an_artifact_that_cannot_be_read(copy, tmp_path):
    (copy / "manifest.json").unlink()
    os.mknod(copy / "manifest.json", stat.S_IFSOCK)  # rights would not keep root from reading
    code, end, _ = end_of(copy, tmp_path)
    assert (code, end.failure_class) == (ExitCode.MODEL_ACCESS, "ArtifactNotReadable")
    assert "No such device or address" in end.message


def test_a_file_that_is_damaged(copy, artifact, tmp_path):
    os.truncate(copy / "model/model.safetensors", 100)
    code, end, _ = end_of(copy, tmp_path)
    assert (code, end.failure_class) == (ExitCode.STORAGE, "DigestMismatch")
    assert "model/model.safetensors: found 100 bytes, expected " in end.message
    assert "status.artifact.digest" in (end.hint or "")
    assert any("listening on" in line for line in end.last_lines or [])


def test_an_artifact_of_another_digest(artifact, tmp_path):
    code, end, _ = end_of(artifact.folder, tmp_path, digest=DIGEST)
    assert (code, end.failure_class) == (ExitCode.STORAGE, "DigestMismatch")
    assert f"has the digest {artifact.manifest.digest()}, expected {DIGEST}" in end.message


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        pytest.param(an_unknown_architecture, "of-next-year", "newer server", id="unknown architecture"),
        pytest.param(no_tokenizer, "cannot be loaded: ", "tuneloop plan", id="no tokenizer"),
        pytest.param(weights_that_are_no_numbers, "not a finite number", "train again", id="NaN"),
    ],
)
def test_files_that_are_whole_and_cannot_be_loaded(copy, artifact, tmp_path, change, words, hint):
    change(copy)
    list_again(copy, artifact)
    code, end, log = end_of(copy, tmp_path)
    assert (code, end.failure_class) == (ExitCode.MODEL_ACCESS, "ModelLoadFailed")
    assert words in end.message
    assert hint in (end.hint or "")
    assert any("Error: " in line for line in end.last_lines or [])
    assert "Traceback" not in log


def test_a_task_that_this_server_does_not_know(copy, tmp_path):
    document = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(document | {"task": "fill-mask"}))
    code, end, _ = end_of(copy, tmp_path)
    assert (code, end.failure_class) == (ExitCode.MODEL_ACCESS, "ModelLoadFailed")


def test_too_little_memory_to_load(artifact, tmp_path):
    """The limit is one on the addresses of the process: no control group is needed."""
    message = tmp_path / "termination-message"
    config = configuration(artifact.folder, termination_message=str(message))
    (tmp_path / "server.json").write_text(json.dumps(config.to_wire()))
    ended = subprocess.run(
        [sys.executable, "-m", "tuneloop_server", str(tmp_path / "server.json")],
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}/api:{ROOT}/server", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20)),
        capture_output=True,
        timeout=DEADLINE,
    )
    end = ServerEnd.model_validate_json(message.read_bytes())
    assert (ended.returncode, end.failure_class) == (ExitCode.OUT_OF_MEMORY_HOST, "OutOfMemory"), end


def test_the_check_before_another_image_leaves_the_same_message(copy, tmp_path):
    os.truncate(copy / "model/model.safetensors", 100)
    message = tmp_path / "termination-message"
    config = configuration(copy, termination_message=str(message))
    (tmp_path / "server.json").write_text(json.dumps(config.to_wire()))
    check = fork(SERVER, "tuneloop_server.artifact_check", str(tmp_path / "server.json"), log=tmp_path / "log")
    try:
        code = check.wait(timeout=DEADLINE)
    finally:
        check.kill()
    end = ServerEnd.model_validate_json(message.read_bytes())
    assert (code, end.failure_class) == (ExitCode.STORAGE, "DigestMismatch")


def test_a_secret_of_the_pod_is_in_no_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("API_KEY", "s3cret-value")
    message = tmp_path / "termination-message"
    config = configuration(tmp_path / "nothing", termination_message=str(message), artifact_uri="pvc://s3cret-value/x")
    (tmp_path / "server.json").write_text(json.dumps(config.to_wire()))
    monkeypatch.setattr("sys.argv", ["tuneloop_server", str(tmp_path / "server.json")])
    assert main() == ExitCode.MODEL_ACCESS
    assert "s3cret-value" not in message.read_text() + capsys.readouterr().err
