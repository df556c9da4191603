"""A stand-in for the Dockerfile's base image, for machines without a registry: Debian's smallest system with Debian's Python.

Only our storage knows it by the name of the base image. Its Python is 3.11, the oldest that Tuneloop supports, where the true base has 3.12.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from images import store
from images.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = "bookworm"
PYTHON = (3, 11)
"""The Python of this Debian release."""
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python-is-python3")
_NOT_NEEDED = (
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/*.bin",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "dev/*",
)
_MOUNT_POINTS = ("etc/pip.conf", "etc/hosts", "etc/hostname", "etc/resolv.conf")
"""Files over which a build mounts. The base holds them empty: without them, every layer would get one; debootstrap copies those of this machine."""
_DOCKERFILE = """\
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
"""


def key() -> str:
    """Return the name of the base image, with a hash of its recipe."""
    recipe = f"{SUITE}\n{PACKAGES}\n{_NOT_NEEDED}\n{_MOUNT_POINTS}\n{_DOCKERFILE}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def name_in(dockerfile: Path) -> str:
    """Return the base image that a Dockerfile takes by default. Raises ImageError."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile.read_text(), flags=re.MULTILINE)
    if found is None:
        raise ImageError(f"{dockerfile}: no line ARG PYTHON_IMAGE=NAME")
    return found[1]


def ensure(name: str, *, say: Callable[[str], None]) -> Path:
    """Put the stand-in into the storage under this name; returns its archive. The first call takes a minute.

    The caller holds the storage's lock. Raises ImageError.
    """
    archive = store.cache_folder() / f"base-{key()}.tar"
    tag = f"localhost/tuneloop/base:{key()}"
    if not archive.exists():
        say(f"making the base image of Debian {SUITE} packages (about a minute, once)")
        rootfs = store.cache_folder() / f"base-{key()}.rootfs.tar"
        if not rootfs.exists():
            _bootstrap(rootfs)
        _import(rootfs, tag=tag)
        store.save(tag, name=name, archive=archive)
        rootfs.unlink()
        for older in store.cache_folder().glob("base-*.tar"):
            if older != archive:
                older.unlink()
    if not store.exists(tag):
        store.buildah("pull", "--quiet", f"docker-archive:{archive}")
        store.buildah("tag", name, tag)
    store.buildah("tag", tag, name)
    return archive


def _bootstrap(rootfs: Path) -> None:
    with tempfile.TemporaryDirectory(dir=store.cache_folder()) as folder:
        root = Path(folder) / "root"
        # without this option, a machine without Debian's keyring would take packages that nobody signed
        options = ("--force-check-gpg", "--variant=minbase", f"--include={','.join(PACKAGES)}")
        store.call(["debootstrap", *options, SUITE, str(root)])
        for pattern in _NOT_NEEDED:
            for path in root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name in _MOUNT_POINTS:
            (root / name).write_text("")
        partial = rootfs.with_name(f"{rootfs.name}.partial")
        store.call(["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "-cf", str(partial), "."])
        partial.rename(rootfs)


def _import(rootfs: Path, *, tag: str) -> None:
    with tempfile.TemporaryDirectory(dir=store.cache_folder()) as folder:
        context = Path(folder)
        (context / "Dockerfile").write_text(_DOCKERFILE)
        (context / "rootfs.tar").hardlink_to(rootfs)
        store.build(context / "Dockerfile", context=context, tag=tag, build_arguments={})
