"""A packed image is what a container runtime expects of an archive, and depends on its content only."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile

from cluster import images


def _packed(tmp_path, *, name="one.tar"):
    program = tmp_path / "program"
    program.write_text("content")
    images.pack("dev.local/x:1", files={"/bin/x": program}, entrypoint=["/bin/x"], out=tmp_path / name)
    return tmp_path / name


def test_the_archive_names_its_parts_by_their_content(tmp_path):
    with tarfile.open(_packed(tmp_path)) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        configuration = archive.extractfile(manifest["Config"]).read()
        layer = archive.extractfile(manifest["Layers"][0]).read()
    assert manifest["RepoTags"] == ["dev.local/x:1"]
    assert manifest["Config"] == f"{hashlib.sha256(configuration).hexdigest()}.json"
    assert json.loads(configuration)["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_a_file_in_the_image_is_executable_and_roots(tmp_path):
    with tarfile.open(_packed(tmp_path)) as archive:
        layer = archive.extractfile("layer.tar").read()
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        (entry,) = files.getmembers()
    assert (entry.name, entry.mode, entry.uid, entry.gid) == ("bin/x", 0o755, 0, 0)


def test_the_same_content_makes_the_same_archive(tmp_path):
    first = _packed(tmp_path).read_bytes()
    os.utime(tmp_path / "program", (1, 1))
    assert _packed(tmp_path, name="two.tar").read_bytes() == first
