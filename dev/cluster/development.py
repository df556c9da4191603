"""The mounts that give containers the Python code of this machine, at the paths of the development image (`dev/images/development`)."""

from __future__ import annotations

from pathlib import Path

from cluster.errors import ClusterError

ROOT = Path(__file__).parents[2]
PACKAGES = "/opt/tuneloop/site-packages"
SOURCE = "/opt/tuneloop/src"
_SHELVES = ("api", "operator", "trainer", "server", "cli")


def python_mounts(environment: Path) -> dict[str, Path]:
    """Return path in containers → folder of this machine: the packages of a virtual environment, and this tree's code.

    Raises ClusterError if the folder is no virtual environment.
    """
    found = list(environment.glob("lib/python3*/site-packages"))
    if len(found) != 1:
        raise ClusterError(f"{environment} is no virtual environment: it has no lib/python3.*/site-packages")
    return {PACKAGES: found[0]} | {f"{SOURCE}/{shelf}": ROOT / shelf for shelf in _SHELVES}
