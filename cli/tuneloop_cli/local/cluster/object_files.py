"""The objects of a folder as files: `objects/<Kind>/<namespace>/<name>.json`, each replaced whole or not at all.

Readers need no lock: a file that exists is complete.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, get_args

from tuneloop_cli.local.errors import LocalError
from tuneloop_operator.cluster import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tuneloop_operator.cluster import Manifest

KINDS: tuple[Kind, ...] = get_args(Kind)


class ObjectFiles:
    """The files below `<directory>/objects`."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "objects"

    def path(self, kind: str, namespace: str, name: str) -> Path:
        """Return where an object is kept."""
        return self._root / kind / namespace / f"{name}.json"

    def read(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return one object, or None."""
        return _load(self.path(kind, namespace, name))

    def read_all(self, kind: Kind, namespace: str = "*") -> list[Manifest]:
        """Return the objects of a kind, by namespace and name; `*` is every namespace."""
        found = (_load(path) for path in sorted(self._root.glob(f"{kind}/{namespace}/*.json")))
        return [manifest for manifest in found if manifest is not None]

    def write(self, manifest: Manifest) -> None:
        """Store an object durably. A reader gets the whole old or the whole new version."""
        path = self.path(manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(manifest, indent=1).encode())

    def remove(self, manifest: Manifest) -> None:
        """Remove the file of an object."""
        metadata = manifest["metadata"]
        self.path(manifest["kind"], metadata["namespace"], metadata["name"]).unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Remove the unfinished files of a writer that was killed. Only the holder of the folder's lock may call this."""
        for path in self._root.glob("*/*/*.tmp"):
            path.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a crash leaves the whole old or the whole new content."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def _load(path: Path) -> Manifest | None:
    try:
        manifest: Manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise LocalError(f"{path} is damaged ({error}): remove this file; what it described starts again") from error
    if not isinstance(manifest, dict):
        raise LocalError(f"{path} is damaged (it holds no object): remove this file; what it described starts again")
    return manifest
