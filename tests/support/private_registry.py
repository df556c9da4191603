"""A private container registry: the CNCF's own (Debian's package `docker-registry`), on loopback, for one user with a password."""

from __future__ import annotations

import base64
import secrets
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cluster_tier
import yaml
from free_ports import free_port
from images import store
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "docker-registry"
_PROGRAM = Path("usr/bin/docker-registry")


@dataclass(frozen=True, kw_only=True)
class PrivateRegistry:
    """Where it is, and who may pull. Container runtimes speak plain HTTP with a registry on loopback."""

    address: str
    """HOST:PORT, the first part of an image's name."""
    user: str
    password: str
    log: Path

    def push(self, archive: Path, *, name: str) -> str:
        """Push the image of a docker archive, with a label more; return its name in this registry.

        The label makes it another image. A kubelet that has pulled an image with a secret gives it only to pods that have the secret,
        under all its names (KubeletEnsureSecretPulledImages), and the pods of other tests run the image as it was loaded.
        """
        pushed = f"{self.address}/{name}"
        with store.locked("storage", say=lambda _: None):
            loaded = store.buildah("pull", "--quiet", f"docker-archive:{archive}").strip()
            container = store.buildah("from", "--pull-never", loaded).strip()
            store.buildah("config", f"--label=registry={self.address}", container)
            labeled = store.buildah("commit", "--quiet", "--rm", "--format=docker", container).strip()
            account = f"--creds={self.user}:{self.password}"
            store.buildah("push", "--quiet", "--tls-verify=false", account, labeled, f"docker://{pushed}")
            store.buildah("rmi", labeled)
        return pushed

    def refuses(self) -> bool:
        """Whether somebody without a name is refused."""
        try:
            urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            pass
        return False

    def pulls(self) -> int:
        """Count the manifests that were handed out."""
        return sum('"GET /v2/' in line and "/manifests/" in line and '" 200 ' in line for line in self._lines())

    def _lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


@contextmanager
def private_registry(folder: Path) -> Iterator[PrivateRegistry]:
    """Run one that keeps its images in `folder`; skip, or fail where the tier is required, on a machine without Debian's packages."""
    password = secrets.token_urlsafe(12)
    registry = PrivateRegistry(
        address=f"127.0.0.1:{free_port()}", user="team-a", password=password, log=folder / "registry.log"
    )
    accounts, settings = folder / "htpasswd", folder / "registry.yml"
    accounts.write_text(f"{registry.user}:{_bcrypt(password)}\n")
    settings.write_text(yaml.safe_dump({
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": registry.address},
        "auth": {"htpasswd": {"realm": "images of team-a", "path": str(accounts)}},
    }))  # fmt: skip
    with registry.log.open("w") as log:
        process = subprocess.Popen([_program(), "serve", settings], stdout=log, stderr=log)
    try:
        until(registry.refuses, seconds=30, what="a registry that refuses strangers")
        yield registry
    finally:
        process.terminate()
        process.wait(timeout=20)


def _program() -> Path:
    """Return the registry's program. The package is unpacked, not installed: installed, it would start a service of its own."""
    cache = store.cache_folder() / _PACKAGE
    if not (cache / _PROGRAM).exists():
        if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
            cluster_tier.cannot_run(f"a private registry needs Debian's package {_PACKAGE}")
        with tempfile.TemporaryDirectory(dir=_made(store.cache_folder())) as work:
            subprocess.run(["apt-get", "-qq", "download", _PACKAGE], cwd=work, check=True, capture_output=True)
            (package,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, f"{work}/unpacked"], check=True)
            shutil.rmtree(cache, ignore_errors=True)
            Path(work, "unpacked").rename(cache)
    return cache / _PROGRAM


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bcrypt(password: str) -> str:
    """Return the one kind of hash that the registry reads. Python has none of its own any more; perl, on every Debian, asks the C library."""
    salt = base64.b64encode(secrets.token_bytes(18), altchars=b"./").decode().rstrip("=")[:22]
    program = "print crypt($ARGV[0], '$2b$05$' . $ARGV[1])"
    return subprocess.run(["perl", "-e", program, password, salt], check=True, capture_output=True, text=True).stdout
