"""An image that is not ours, as a docker archive: hf-serve on a plain Debian with Python. Its user is root, and it has no line for another one.

Its packages come from where a node of ours shows them to every container (`cluster.development`); none of our code is on its path.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

import foreign_server
from cluster.development import PACKAGES
from images import archive
from required import skip_or_fail

NAME = "registry.example/hf-serve:0.1.0"
_FOLDER = "opt/hf-serve"
_LAUNCHER = b"#!/usr/bin/env python3\nfrom hf_serve.cli import main\n\nmain()\n"
_LIBRARY = "libmagic.so.1"
"""hf-serve loads it as it starts; image and machine are Debian's."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": f"/{_FOLDER}:{PACKAGES}"}


def write(base: Path, out: Path) -> None:
    """Write the archive. base: an archive of an image with `python3`."""
    below, layer = archive.read(base), _layer()
    added = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    with tarfile.open(base) as source, tarfile.open(out, "w") as target:
        configuration = json.loads(_content(source, _manifest(source)["Config"]))
        configuration["rootfs"]["diff_ids"].append(added)
        configuration["config"] = {"Env": [f"{name}={value}" for name, value in _ENVIRONMENT.items()]}
        del configuration["history"]
        for found in below.layers:
            member = source.getmember(found.member)
            target.addfile(member, source.extractfile(member))
        names = [found.member for found in below.layers]
        manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": [*names, "layer.tar"]}]
        _add(target, "layer.tar", layer)
        _add(target, "config.json", json.dumps(configuration).encode())
        _add(target, "manifest.json", json.dumps(manifest).encode())


def _layer() -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        files.add(foreign_server.hf_serve().folder, arcname=_FOLDER)
        library = _library()
        files.add(library.resolve(), arcname=str(library).lstrip("/"))
        _add(files, "usr/local/bin/hf-serve", _LAUNCHER, mode=0o755)
    return layer.getvalue()


def _library() -> Path:
    """Return the path of the library on this machine, where programs of the image look for it, too."""
    folders = (Path("/usr/lib") / f"{platform.machine()}-linux-gnu", Path("/usr/lib64"), Path("/usr/lib"))
    found = [folder / _LIBRARY for folder in folders if (folder / _LIBRARY).exists()]
    return found[0] if found else skip_or_fail(f"this machine has no {_LIBRARY}, which hf-serve needs")


def _manifest(source: tarfile.TarFile) -> dict[str, str]:
    (manifest,) = json.loads(_content(source, "manifest.json"))
    return dict(manifest)


def _content(source: tarfile.TarFile, name: str) -> bytes:
    file = source.extractfile(name)
    assert file is not None, name
    return file.read()


def _add(target: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    target.addfile(entry, io.BytesIO(content))
