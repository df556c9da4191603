"""Whether an artifact is what its manifest says, and which of its files the model is loaded from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from artifact import manifest_of

from tuneloop_api.contract.artifact import ArtifactFile
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.server_config import ServerConfig
from tuneloop_api.wire.model import changed
from tuneloop_server.artifact import check_files, link_checked_model, read_manifest
from tuneloop_server.errors import CannotServe

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REMEDY = "publish the artifact again, or correct its address in the spec"


def file(path: str = "model/a/weights", *, size: int = len(CONTENT), sha256: str = SHA256) -> ArtifactFile:
    return ArtifactFile(path=path, size=size, sha256=sha256)


@pytest.fixture
def config(tmp_path) -> ServerConfig:
    folder = tmp_path / "artifact"
    for path in ("model/a/weights", "adapter/weights"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(CONTENT)
    (folder / "out").symlink_to("../secret")
    (folder / "within").symlink_to("model/a/weights")
    return ServerConfig(
        namespace="team", name="reviews", revision="1", artifact_path=str(folder), artifact_uri="pvc://m/reviews"
    )


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        pytest.param(file(), None, id="whole"),
        pytest.param(file(size=8), f"model/a/weights: found 7 bytes, expected 8; {REMEDY}", id="another size"),
        pytest.param(file(sha256="ab"), f"model/a/weights: found SHA-256 {SHA256}, expected ab; {REMEDY}", id="other bytes"),
        pytest.param(file("model/b"), f"model/b: cannot be read (No such file or directory); expected a file of 7 bytes; {REMEDY}", id="missing"),
        pytest.param(file("/etc/passwd"), f"/etc/passwd: expected a path inside the artifact; {REMEDY}", id="absolute"),
        pytest.param(file("model/../x"), f"model/../x: expected a path inside the artifact; {REMEDY}", id="outside"),
        pytest.param(file("out"), f"out: is a link that leads out of the artifact; expected the file itself; {REMEDY}", id="a link"),
        pytest.param(file("within"), None, id="a link within"),
        pytest.param(file("."), f".: expected a path inside the artifact; {REMEDY}", id="nothing"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_that_of_the_manifest_is_named(config, entry, problem):
    manifest = manifest_of(["a"], files=[entry])
    if problem is None:
        check_files(config, manifest)
        return
    with pytest.raises(CannotServe) as refused:
        check_files(config, manifest)
    assert str(refused.value) == f"pvc://m/reviews: {problem}"
    assert refused.value.exit_code == ExitCode.STORAGE


def test_the_model_is_loaded_from_links_to_its_own_files(config, tmp_path):
    manifest = manifest_of(["a"], files=[file("adapter/weights"), file()])
    folder = tmp_path / "links"
    folder.mkdir()
    link_checked_model(config, manifest, folder=folder)
    assert [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()] == [Path("a/weights")]
    assert (folder / "a" / "weights").resolve() == Path(config.artifact_path) / "model/a/weights"


@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        (None, "manifest.json cannot be read (No such file or directory); expected the folder", ExitCode.MODEL_ACCESS),
        ("{", "manifest.json is not JSON (", ExitCode.STORAGE),
        ("[" * 100_000, "manifest.json is not JSON (", ExitCode.STORAGE),
        ("{}", "manifest.json is no manifest of version 1: ", ExitCode.STORAGE),
        ("[]", "manifest.json is no manifest of version 1: the document: ", ExitCode.STORAGE),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(config, content, message, code):
    if content is not None:
        (Path(config.artifact_path) / "manifest.json").write_text(content)
    with pytest.raises(CannotServe) as refused:
        read_manifest(config)
    assert str(refused.value).startswith(f"pvc://m/reviews: {message}")
    assert refused.value.exit_code == code


def test_a_wrong_value_in_a_manifest_is_named_by_its_path(config):
    wire = manifest_of(["a"], files=[file()]).to_wire()
    wire["files"][0]["size"] = "many"
    (Path(config.artifact_path) / "manifest.json").write_text(json.dumps(wire))
    with pytest.raises(CannotServe) as refused:
        read_manifest(config)
    assert str(refused.value).startswith("pvc://m/reviews: manifest.json is no manifest of version 1: files.0.size: ")


def test_only_the_expected_artifact_is_served(config):
    manifest = manifest_of(["a"], files=[file()])
    (Path(config.artifact_path) / "manifest.json").write_text(json.dumps(manifest.to_wire()))
    assert read_manifest(config).to_wire() == manifest.to_wire()
    assert read_manifest(changed(config, digest=manifest.digest())).digest() == manifest.digest()
    with pytest.raises(CannotServe) as refused:
        read_manifest(changed(config, digest="sha256:0"))
    assert str(refused.value) == (
        f"pvc://m/reviews: manifest.json has the digest {manifest.digest()}, expected sha256:0; {REMEDY}"
    )
