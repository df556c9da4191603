"""Reads the metadata of an image in a docker archive; never the content of files in its layers."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Layer:
    """One layer, uncompressed."""

    digest: str
    size_bytes: int
    member: str
    """The name of the layer in the archive."""


@dataclass(frozen=True)
class Archive:
    """An image in a file."""

    path: Path
    names: tuple[str, ...]
    config: dict[str, Any]
    """User, Env, Entrypoint, Cmd, Labels, WorkingDir, StopSignal."""
    layers: tuple[Layer, ...]

    def layers_over(self, base: Archive) -> tuple[Layer, ...]:
        """Return the layers that are not in the base image."""
        below = {layer.digest for layer in base.layers}
        return tuple(layer for layer in self.layers if layer.digest not in below)

    def bytes_over(self, base: Archive) -> int:
        """Return the uncompressed size of the layers that are not in the base image."""
        return sum(layer.size_bytes for layer in self.layers_over(base))

    def files_of(self, layer: Layer) -> list[str]:
        """Return the paths in a layer."""
        with tarfile.open(self.path) as outer, tarfile.open(fileobj=outer.extractfile(layer.member)) as inner:
            return inner.getnames()


def read(path: Path) -> Archive:
    """Read an archive of one image."""
    with tarfile.open(path) as archive:
        (manifest,) = json.load(_member(archive, "manifest.json"))
        image = json.load(_member(archive, manifest["Config"]))
        layers = tuple(
            Layer(digest=digest, size_bytes=_resolved(archive, member).size, member=_resolved(archive, member).name)
            for digest, member in zip(image["rootfs"]["diff_ids"], manifest["Layers"], strict=True)
        )
    return Archive(path=path, names=tuple(manifest["RepoTags"]), config=image["config"], layers=layers)


def _resolved(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    member = archive.getmember(name)
    return archive.getmember(member.linkname) if member.issym() else member


def _member(archive: tarfile.TarFile, name: str) -> Any:
    return archive.extractfile(_resolved(archive, name))
