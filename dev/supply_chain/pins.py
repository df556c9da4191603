"""Reads constraints.txt and the locks below requirements/. Nothing is fetched and nothing is written here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?==(?P<version>[^\s;]+)(\s*;\s*(?P<marker>.+))?", re.ASCII
)
_HASH = re.compile(r"--hash=(\S+)")
_VIA = "# via "


class PinError(Exception):
    """A line of constraints.txt or of a lock is not what our tools write; the message names the line."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its version, and a hash for each file of that version."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """As in the lock: `sha256:…`."""
    marker: str = ""
    """Where the package is installed; empty: everywhere."""
    required_by: tuple[str, ...] = ()
    """The names of the packages that brought this one."""


def normalized(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_path(name: str) -> Path:
    """Return the path of a lock, such as `operator`."""
    return REQUIREMENTS / f"{name}.txt"


def constraints(text: str) -> dict[str, str]:
    """Return name → version of constraints.txt. Raises PinError."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    found = [_pin(line, line) for line in lines if line]
    return {pin.name: pin.version for pin in found}


def pins(text: str) -> dict[str, Pin]:
    """Return name → pin of a lock. Raises PinError for anything but pins, their hashes and comments, such as an option or an address."""
    if "://" in text:
        raise PinError("an address stands there; where packages come from is the machine's setting")
    blocks: list[str] = []
    for line in text.splitlines():
        if line.startswith((" ", "\t")) and blocks:
            blocks[-1] += f"\n{line}"
        elif line.strip() and not line.startswith("#"):
            blocks.append(line)
    found = [_block(block) for block in blocks]
    return {pin.name: pin for pin in found}


def read_lock(name: str) -> dict[str, Pin]:
    """Return name → pin of a lock, such as `operator`. Raises PinError."""
    return pins(lock_path(name).read_text())


def _block(block: str) -> Pin:
    head, *rest = (line.strip().removesuffix("\\").strip() for line in block.splitlines())
    comments = [line for line in rest if line.startswith("#")]
    options = " ".join(line for line in rest if not line.startswith("#"))
    if unknown := _HASH.sub("", options).strip():
        raise PinError(f"{unknown!r} of {head!r}: only --hash=sha256:… may stand there")
    origins = [origin.strip() for line in comments for origin in line.removeprefix(_VIA).split(",")]
    brought = tuple(origin for origin in origins if not origin.startswith("-"))
    return _pin(head, block, hashes=tuple(_HASH.findall(options)), required_by=brought)


def _pin(line: str, block: str, *, hashes: tuple[str, ...] = (), required_by: tuple[str, ...] = ()) -> Pin:
    found = _PIN.fullmatch(line)
    if found is None:
        raise PinError(f"{block.splitlines()[0]!r} is no NAME==VERSION")
    return Pin(normalized(found["name"]), found["version"], hashes, found["marker"] or "", required_by)
