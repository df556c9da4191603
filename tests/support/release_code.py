"""The code of an earlier release, taken from this repository's own history by its commit, to be run beside today's."""

from __future__ import annotations

import os
import subprocess
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cluster_tier import cannot_run

ROOT = Path(__file__).parents[2]
RELEASES = {"0.1.0": "4ae2626"}
"""By release: its commit. Tags do not travel with every clone."""
SHELVES = ("api", "operator", "trainer", "server", "cli")
_FOLDERS: list[TemporaryDirectory[str]] = []
"""They are removed at the end of this process."""
_LOCK = threading.Lock()
"""`cache` alone lets threads that ask at once unpack at once."""


def code_of(release: str) -> Path:
    """Write the code of a release to a folder, once, and return the folder. Threads that ask meanwhile wait for the whole of the code.

    Skips the test, or fails it where a cluster is required, if the history does not reach back to the release.
    """
    with _LOCK:
        return _unpacked(release)


@cache
def _unpacked(release: str) -> Path:
    commit = RELEASES[release]
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=False, capture_output=True)
    if archive.returncode != 0:
        reason = archive.stderr.decode(errors="replace").strip()
        cannot_run(f"the history does not hold {commit}, release {release} (a shallow clone?): {reason}")
    folder = TemporaryDirectory(prefix="tuneloop-release-")
    _FOLDERS.append(folder)
    subprocess.run(["tar", "-x", "-C", folder.name], input=archive.stdout, check=True)
    return Path(folder.name)


def python_path(code: Path) -> str:
    """Return the PYTHONPATH on which this code is found, and no other of ours."""
    return os.pathsep.join(str(code / shelf) for shelf in SHELVES)
