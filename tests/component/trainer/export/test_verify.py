from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneloop_api.contract.artifact import Manifest
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.export.publish import draft, list_files, publish
from tuneloop_trainer.export.verify import verify_artifact


def manifest_of(folder: Path) -> Manifest:
    return Manifest(
        name="reviews",
        task="text-classification",
        base_model="pvc://demo/model",
        labels=["a", "b"],
        max_tokens=8,
        temperature=1.0,
        metrics=[],
        lineage={"modelRevision": "r"},
        files=list_files(folder),
    )


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    with draft(tmp_path) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "weights.bin").write_bytes(bytes(range(256)))
        (folder / "README.md").write_text("hello")
        return publish(folder, manifest_of(folder))


def test_a_whole_artifact_is_accepted_with_and_without_its_digest(artifact):
    digest = verify_artifact(artifact, None).digest()
    assert verify_artifact(artifact, digest).digest() == digest


def flip(artifact: Path) -> None:
    path = artifact / "model" / "weights.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def cut(artifact: Path) -> None:
    path = artifact / "model" / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1])


def edit_manifest(artifact: Path) -> None:
    path = artifact / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": 2.0}))


def link(artifact: Path) -> None:
    path = artifact / "README.md"
    path.rename(artifact.parent / "elsewhere.md")
    path.symlink_to(artifact.parent / "elsewhere.md")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(flip, r"weights\.bin: is damaged: its SHA-256 is", id="one bit is wrong"),
        pytest.param(cut, r"weights\.bin: is damaged: it has 255 bytes, 256 are expected", id="a file is cut off"),
        pytest.param(lambda a: (a / "README.md").unlink(), r"README\.md: is missing", id="a file is missing"),
        pytest.param(
            lambda a: (a / "model" / "x.pkl").touch(), r"x\.pkl: is not in the manifest", id="a file was added"
        ),
        pytest.param(
            edit_manifest, r"manifest\.json: has the digest sha256:\w+, sha256:\w+ is expected", id="another manifest"
        ),
        pytest.param(lambda a: (a / "manifest.json").write_text("{"), r"is no manifest", id="no JSON"),
        pytest.param(
            lambda a: (a / "manifest.json").unlink(), r"manifest\.json: cannot be read: No such file", id="no manifest"
        ),
        pytest.param(link, r"README\.md: is a link", id="a link"),
    ],
)
def test_whatever_differs_is_named(artifact, damage, message):
    digest = verify_artifact(artifact, None).digest()
    damage(artifact)
    with pytest.raises(StorageError, match=message):
        verify_artifact(artifact, digest)


def test_a_manifest_cannot_point_outside(artifact):
    path = artifact / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["path"] = "../elsewhere"
    path.write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="is missing|is not in the manifest"):
        verify_artifact(artifact, None)


def test_a_draft_that_fails_leaves_nothing(tmp_path):
    def fail() -> None:
        with draft(tmp_path) as folder:
            (folder / "half").write_text("half")
            raise KeyError("anything")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_behind_is_cleared(tmp_path):
    (tmp_path / "artifact.tmp").mkdir()
    (tmp_path / "artifact.tmp" / "half").write_text("half")
    with draft(tmp_path) as folder:
        assert list(folder.iterdir()) == []


def test_an_export_killed_between_the_two_renames_loses_nothing(artifact):
    artifact.rename(artifact.with_name("artifact.old"))
    with draft(artifact.parent) as folder:
        verify_artifact(artifact, None)
        assert list(folder.iterdir()) == []
    assert sorted(path.name for path in artifact.parent.iterdir()) == ["artifact"]


def test_an_artifact_that_cannot_be_replaced_stays(artifact):
    digest = verify_artifact(artifact, None).digest()

    def fail() -> None:
        with draft(artifact.parent) as folder:
            (folder / "README.md").write_text("newer")
            manifest = manifest_of(folder)
            (folder / "README.md").write_text("damaged meanwhile")
            publish(folder, manifest)

    with pytest.raises(StorageError, match="is damaged"):
        fail()
    assert verify_artifact(artifact, digest).digest() == digest
    assert sorted(path.name for path in artifact.parent.iterdir()) == ["artifact"]
