"""Debian's package of Prometheus, unpacked into a folder of the user: no root, nothing of the machine changes.

apt checks the signature of the package list; the file is compared with the SHA-256 of that list. The list of the machine is not used: without root
nobody may bring it up to date, and a container has none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop_cli.local.errors import NoPrometheus

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "prometheus"
_PACKAGE = "prometheus"
_TOOLS = ("apt-get", "dpkg-deb")
_OFFERED = re.compile(
    r"^'[^'\n]+' (?P<file>[a-z0-9.+-]+_(?P<version>[A-Za-z0-9][A-Za-z0-9.+~%-]*)_[a-z0-9]+\.deb) \d+ SHA256:(?P<digest>[0-9a-f]{64})$",
    re.MULTILINE,
)
"""A line of `apt-get download --print-uris`."""
_SECONDS = 600
_YOURSELF = "install Prometheus, so that `prometheus` is on PATH, for example: sudo apt-get install prometheus"


@dataclass(frozen=True)
class _Package:
    """What the package list says."""

    file: str
    version: str
    digest: str
    """SHA-256, in hexadecimal digits."""


def unpack(cache: Path, *, say: Callable[[str], None]) -> Path:
    """Return the program, after fetching the package into `cache/VERSION`. Raises NoPrometheus."""
    if lacking := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise NoPrometheus(
            f"there is no Prometheus on PATH, and no {' and no '.join(lacking)} to fetch it: {_YOURSELF}"
        )
    say(f"there is no Prometheus on PATH: fetching Debian's package into {cache} (about 50 MB, once)")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as folder:
            package, file = _fetched(Path(folder))
            _run(["dpkg-deb", "--extract", str(file), "content"], folder=Path(folder))
            return _kept(Path(folder) / "content" / "usr" / "bin" / PROGRAM, cache / package.version)
    except OSError as error:
        raise NoPrometheus(f"Prometheus cannot be kept in {cache} ({error.strerror}): {_YOURSELF}") from error


def _fetched(folder: Path) -> tuple[_Package, Path]:
    """Return the package and its file, whose digest is the one of the list."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    _apt(folder, "update")
    offered = _OFFERED.search(_apt(folder, "download", "--print-uris", _PACKAGE))
    if offered is None:
        raise NoPrometheus(f"the package sources of this machine have no {_PACKAGE}: {_YOURSELF}")
    package = _Package(**offered.groupdict())
    _apt(folder, "download", _PACKAGE)
    file = folder / package.file
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != package.digest:
        raise NoPrometheus(
            f"{package.file} has the SHA-256 {found}, and the package list has {package.digest}: try again"
        )
    return package, file


def _apt(folder: Path, *arguments: str) -> str:
    """Run apt-get with all that it writes in the folder, and return its output."""
    places = {
        "Dir::State": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",  # what is installed may be of a version that no list has any more
        "Dir::Cache": folder / "cache",
    }
    # the user `_apt`, to which root's downloads change, may not write into the folder
    options = [*(f"{name}={path}" for name, path in places.items()), "Acquire::Languages=none", "APT::Sandbox::User="]
    return _run(["apt-get", "-q", *(f"-o{option}" for option in options), *arguments], folder=folder)


def _run(command: list[str], *, folder: Path) -> str:
    """Run a command in the folder, and return its output. Raises NoPrometheus with the last line of its complaint."""
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise NoPrometheus(f"{command[0]} did not end within {_SECONDS} s: {_YOURSELF}") from None
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise NoPrometheus(f"Debian's package of Prometheus cannot be had ({command[0]}: {complaint}): {_YOURSELF}")
    return done.stdout


def _kept(program: Path, place: Path) -> Path:
    """Move the program to its place, whole or not at all. Another process may have been quicker."""
    if not program.is_file():
        raise NoPrometheus(f"Debian's package has no usr/bin/{PROGRAM}: {_YOURSELF}")
    alone = program.parent / "alone"
    alone.mkdir()
    program.rename(alone / PROGRAM)
    try:
        alone.rename(place)
    except OSError:
        if not (place / PROGRAM).is_file():
            raise
    return place / PROGRAM
