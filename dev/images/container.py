"""Runs a command in a built image under the limits that the operator gives its pods."""

from __future__ import annotations

import json
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from images import archive, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from images.targets import Built

WRITABLE = ("/tmp", "/home/tuneloop")


def run(
    built: Built,
    command: Sequence[str],
    *,
    read_only: Mapping[Path, str] | None = None,
    timeout_seconds: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command as uid 1000 with a read-only root, no capabilities and no network; return the completed process.

    read_only: folder of this machine → its path for the command.
    """
    name = f"tuneloop-{uuid.uuid4().hex[:12]}"
    with root_of(built) as root, tempfile.TemporaryDirectory() as bundle:
        config = archive.read(built.archive).config
        specification = _specification(root, config, command=command, read_only=read_only or {})
        (Path(bundle) / "config.json").write_text(json.dumps(specification))
        runc = ["runc", "--root", f"{bundle}/state"]
        try:
            return subprocess.run(
                [*runc, "run", "--bundle", bundle, name],
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout_seconds,
            )
        finally:
            subprocess.run([*runc, "delete", "--force", name], check=False, capture_output=True)


@contextmanager
def root_of(built: Built) -> Iterator[Path]:
    """Mount an image's root file system, for as long as the context lasts."""
    working = store.buildah("from", "--pull-never", built.tag).strip()
    try:
        yield Path(store.buildah("mount", working).strip())
    finally:
        store.buildah("umount", working)
        store.buildah("rm", working)


def _specification(
    root: Path, config: dict[str, Any], *, command: Sequence[str], read_only: Mapping[Path, str]
) -> dict[str, Any]:
    user, group = (int(number) for number in config["User"].split(":"))
    owned = ("nosuid", "nodev", f"uid={user}", f"gid={group}")
    scratch = [_tmpfs(path, mode="1777", options=owned) for path in WRITABLE]
    bound = [
        {"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", "ro"]}
        for outside, inside in read_only.items()
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": list(command),
            "env": config["Env"],
            "cwd": config["WorkingDir"],
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            _tmpfs("/dev", mode="755", options=("nosuid",)),
            _tmpfs("/dev/shm", mode="1777"),
            *scratch,
            *bound,
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
    }


def _tmpfs(path: str, *, mode: str, options: Sequence[str] = ("nosuid", "nodev")) -> dict[str, Any]:
    return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": [*options, f"mode={mode}"]}
