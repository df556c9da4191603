"""Checks that this machine can run a node: root, kernel features, Debian packages. Saves and restores the kernel settings that a kubelet changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
_PACKAGES = {"runc": "runc", "nft": "nftables", "conntrack": "conntrack", "ip": "iproute2", "openssl": "openssl"}
"""Program → its Debian package."""
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_CNI_PACKAGE = "containernetworking-plugins"
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_SETTINGS = (
    "kernel.panic",
    "kernel.panic_on_oops",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "net.ipv4.ip_forward",
)


def check() -> None:
    """Raise MachineError, with a message of one line, if this machine cannot run a node."""
    if os.geteuid() != 0:
        raise MachineError(
            "a node needs root: it makes a bridge, mounts and control groups (control-plane mode does not)"
        )
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    if lacking := [name for name, bit in _CAPABILITIES.items() if not int(effective.split()[1], 16) >> bit & 1]:
        raise MachineError(f"a node needs {' and '.join(lacking)}, which root does not have here (a container?)")
    if packages := missing_packages():
        raise MachineError(
            f"a node needs Debian packages that are not installed: apt-get install -y {' '.join(packages)}"
        )
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        raise MachineError("a node needs the overlay file system, which this kernel does not offer (modprobe overlay?)")


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are missing."""
    missing = [package for program, package in _PACKAGES.items() if not shutil.which(program, path=PATH)]
    return missing if cni_folder() else [*missing, _CNI_PACKAGE]


def install_packages(*, say: Callable[[str], None]) -> None:
    """Install the missing packages with apt-get, and say so. Raises MachineError if that is not possible."""
    packages = missing_packages()
    if not packages:
        say("every Debian package that a node needs is installed")
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MachineError(f"only root on a machine with apt-get can install them: {' '.join(install)}")
    for command in (["apt-get", "update"], install):
        say(f"running {' '.join(command)}")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}")


def cni_folder() -> Path | None:
    """Return where the CNI plugins are; None when they are not installed."""
    return next((folder for folder in _CNI_FOLDERS if (folder / "bridge").exists()), None)


def kernel_settings() -> dict[str, str]:
    """Return the settings that a kubelet and our network change."""
    return {name: _file(name).read_text().strip() for name in _SETTINGS if _file(name).exists()}


def restore_kernel_settings(saved: Mapping[str, str]) -> None:
    """Restore saved kernel settings."""
    for name, value in saved.items():
        _file(name).write_text(value)


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points below a folder, the deepest first."""
    points = (Path(_unescaped(line.split()[4])) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((point for point in points if folder in point.parents), key=lambda point: -len(point.parts))


def unmount(points: Iterable[Path]) -> None:
    """Unmount, also mount points in use. Raises MachineError if a mount point stays: the files below it must then not be deleted."""
    for point in points:
        done = subprocess.run(["umount", "--lazy", point], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(f"{point} could not be unmounted: {done.stderr.strip()}")


def _file(setting: str) -> Path:
    return Path("/proc/sys", *setting.split("."))


def _unescaped(text: str) -> str:
    """Return a path of mountinfo, which writes blanks, tabs, newlines and backslashes as octal numbers."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode()
