"""The only module that calls buildah, which builds without a daemon, into a storage of its own below the cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import build_lock

from images.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

PACKAGES = {"buildah": "buildah", "debootstrap": "debootstrap", "runc": "runc"}
"""Debian package → a program that it installs."""
_FROM_THE_MACHINE = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf"))
"""The files that configure this machine's package index: mounted during a build, and in no layer."""
_LAST_LINES = 15


def cache_folder() -> Path:
    """Return the folder of everything that is built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuneloop" / "images"


def check_programs() -> None:
    """Raise ImageError, with the command that helps, if this machine cannot build images."""
    missing = [package for package, program in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        raise ImageError(f"{', '.join(missing)} not found. On Debian: apt-get install {' '.join(sorted(PACKAGES))}")
    if os.geteuid() != 0:
        raise ImageError("images are built as root: debootstrap and buildah change owners and mount file systems")


def install_packages(*, say: Callable[[str], None]) -> None:
    """Install the Debian packages that are missing. Raises ImageError."""
    if all(shutil.which(program) for program in PACKAGES.values()):
        return
    say(f"installing {', '.join(sorted(PACKAGES))}")
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    call([*apt, "update"])
    call([*apt, "install", "--yes", "--no-install-recommends", *sorted(PACKAGES)])


def buildah(*arguments: str) -> str:
    """Run buildah and return its output. Raises ImageError."""
    cache = cache_folder()
    (cache / "tmp").mkdir(parents=True, exist_ok=True)
    configuration = cache / "storage.conf"
    wanted = _storage_configuration(cache)
    if not configuration.exists() or configuration.read_text() != wanted:
        configuration.write_text(wanted)
    environment = {"CONTAINERS_STORAGE_CONF": str(configuration), "TMPDIR": str(cache / "tmp")}
    return call(["buildah", *arguments], environment=environment)


def build(
    dockerfile: Path, *, context: Path, tag: str, target: str | None = None, build_arguments: Mapping[str, str]
) -> None:
    """Build an image from base images that are in the storage; the network is the machine's own. Raises ImageError."""
    volumes = [f"--volume={path}:{path}:ro" for path in _FROM_THE_MACHINE if path.exists()]
    chosen = [f"--target={target}"] if target else []
    given = [f"--build-arg={name}={value}" for name, value in build_arguments.items()]
    # chroot: no runtime, no cgroup, no network of its own. docker: the format that the archive has to have.
    how = ("--isolation=chroot", "--network=host", "--pull-never", "--layers=false", "--format=docker")
    buildah("build", *how, *volumes, *chosen, *given, f"--tag={tag}", f"--file={dockerfile}", str(context))


def save(tag: str, *, name: str, archive: Path) -> None:
    """Write an image of the storage to a docker archive, under the name that pods use. Raises ImageError."""
    partial = archive.with_name(f"{archive.name}.partial")
    partial.unlink(missing_ok=True)
    # by its identifier: under its tag, the image would be saved by that name too
    identifier = buildah("images", "--quiet", "--no-trunc", tag).strip()
    buildah("push", "--quiet", identifier, f"docker-archive:{partial}:{name}")
    partial.rename(archive)


def exists(tag: str) -> bool:
    """Return whether the storage has an image of that name."""
    return bool(buildah("images", "--quiet", "--filter", f"reference={tag}").strip())


def remove(tag: str) -> None:
    """Remove an image. An image that a container uses stays."""
    try:
        buildah("rmi", tag)
    except ImageError as error:
        if "in use" not in str(error):
            raise


def call(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Run a program and return its standard output. Raises ImageError with the last lines of its output."""
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | dict(environment or {})
    )
    if ended.returncode != 0:
        output = "\n".join((ended.stdout + ended.stderr).splitlines()[-_LAST_LINES:])
        raise ImageError(f"{' '.join(command[:2])} ended with {ended.returncode}:\n{output}")
    return ended.stdout


def locked(name: str, *, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """Hold an exclusive lock below the cache folder."""
    return build_lock.locked(cache_folder() / f"{name}.lock", say=say)


def _storage_configuration(cache: Path) -> str:
    # an overlay cannot lie on an overlay, which is the root of most containers; vfs copies, and works everywhere
    driver = "vfs" if call(["stat", "-f", "-c", "%T", str(cache)]).strip() == "overlayfs" else "overlay"
    return f'[storage]\ndriver = "{driver}"\ngraphroot = "{cache}/storage"\nrunroot = "{cache}/run"\n'
