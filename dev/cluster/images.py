"""Packs a few files into an image archive, in the format of `docker save`. It needs no daemon and no registry."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAUSE = "dev.local/pause:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def pack(name: str, *, files: Mapping[str, Path], entrypoint: list[str], out: Path) -> None:
    """Write an image of one layer with these files (path in the image: file here), all executable and root's.

    The same content makes the same image.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for place, source in sorted(files.items()):
            _add(archive, place.lstrip("/"), source.read_bytes(), mode=0o755)
    layer_digest = hashlib.sha256(layer.getvalue()).hexdigest()
    configuration = json.dumps(
        {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        }
    ).encode()
    configuration_name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = [{"Config": configuration_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out, "w") as archive:
        _add(archive, "layer.tar", layer.getvalue())
        _add(archive, configuration_name, configuration)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
