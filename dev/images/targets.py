"""The images that can be built. A key over their inputs tells when an image must be built again.

built = targets.build("development")     # built.archive: a docker archive to import
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from images import base, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("pyproject.toml", "requirements", "README.md", "LICENSE", "api", "operator", "trainer", "server", "cli")
"""The inputs of a build; the same list as in .dockerignore."""


@dataclass(frozen=True)
class Target:
    """An image: its recipe, and the files of the tree that it contains."""

    dockerfile: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """A finished image."""

    name: str
    """The name of the image in manifests."""
    tag: str
    """The name of the image in our storage."""
    archive: Path
    base_archive: Path


TARGETS = {
    "operator": Target(dockerfile="Dockerfile", sources=(".dockerignore", *_SOURCES)),
    "trainer": Target(dockerfile="Dockerfile", sources=(".dockerignore", *_SOURCES)),
    "server": Target(dockerfile="Dockerfile", sources=(".dockerignore", *_SOURCES)),
    "router": Target(dockerfile="Dockerfile", sources=(".dockerignore", *_SOURCES)),
    # the code of the tree is mounted into it, so that a change costs no build
    "development": Target(dockerfile="dev/images/development/Dockerfile", sources=()),
}


def build(
    target: str, *, revision: str = "unknown", source: str = "unknown", say: Callable[[str], None] = print
) -> Built:
    """Build an image unless it is there already; of several callers at once, one builds. Raises ImageError."""
    store.check_programs()
    recipe = TARGETS[target]
    dockerfile = ROOT / recipe.dockerfile
    labels = {"VERSION": _version(), "REVISION": revision, "SOURCE": source}
    key = key_of(ROOT, (recipe.dockerfile, *recipe.sources), salt=f"{base.key()}\n{sorted(labels.items())}")
    built = Built(
        name=f"docker.io/tuneloop/{target}:dev",
        tag=f"localhost/tuneloop/{target}:{key}",
        archive=store.cache_folder() / f"{target}-{key}.tar",
        base_archive=store.cache_folder() / f"base-{base.key()}.tar",
    )
    if _is_there(built):  # asked before waiting for whoever builds gigabytes
        return built
    with store.locked("storage", say=say):
        if not _is_there(built):
            base.ensure(base.name_in(dockerfile), say=say)
            say(f"building {target}")
            stage = target if recipe.sources else None
            context = ROOT if recipe.sources else dockerfile.parent
            # the base is the stand-in of this machine: no registry gave it a digest
            build_arguments = labels | {"BASE_WITHOUT_DIGEST": "allowed"}
            store.build(dockerfile, context=context, tag=built.tag, target=stage, build_arguments=build_arguments)
            store.save(built.tag, name=built.name, archive=built.archive)
            _forget_older(target, built)
    return built


def _is_there(built: Built) -> bool:
    return built.archive.exists() and built.base_archive.exists() and store.exists(built.tag)


def key_of(root: Path, parts: Iterable[str], *, salt: str) -> str:
    """Return a hash of files and whole folders (without bytecode): their paths, modes and contents."""
    digest = hashlib.sha256(f"{salt}\n".encode())
    for path in sorted(file for part in parts for file in _files(root / part)):
        head = f"{path.relative_to(root)} {path.stat().st_mode:o} {path.stat().st_size}\n"
        digest.update(head.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file())
    return [file for file in found if "__pycache__" not in file.parts and ".egg-info" not in str(file)]


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def _forget_older(target: str, built: Built) -> None:
    """Remove all but one build of a target: large builds take gigabytes."""
    for archive in store.cache_folder().glob(f"{target}-*.tar"):
        if archive != built.archive:
            archive.unlink()
            tag = f"localhost/tuneloop/{target}:{archive.stem.removeprefix(f'{target}-')}"
            if store.exists(tag):
                store.remove(tag)
