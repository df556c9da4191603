"""What other processes do for the tests of export: each is forked from a server with a hash seed of its own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from pathlib import Path

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_trainer.errors import StorageError
from tuneloop_trainer.export.stage import export

_NEW_USERS, _NEW_MOUNTS = 0x10000000, 0x00020000


class Silent:
    """A reporter that says nothing."""

    def post(self, **_: object) -> None:
        pass


def digest_of_export(config: str) -> str:
    """Export; return the artifact's digest."""
    return export(_read(config), Silent()).digest


def export_to_small_volumes(config: str, *, sizes: list[int]) -> list[dict]:
    """Export to a volume of each of these sizes in bytes; return the message of each error, and what was left there."""
    _own_mounts()
    run, errors = _read(config), []
    for size in sizes:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", run.paths.job_dir], check=True)
        try:
            export(run, Silent())
        except StorageError as error:
            errors.append(
                {
                    "message": error.message,
                    "hint": error.hint,
                    "left": [path.name for path in Path(run.paths.job_dir).iterdir()],
                }
            )
    return errors


def _read(config: str) -> RunConfig:
    return RunConfig.from_wire(json.loads(config))


def _own_mounts() -> None:
    """Enter namespaces in which this process may mount, and nobody else sees it: `unshare --map-root-user --mount`."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USERS | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
