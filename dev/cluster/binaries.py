"""Builds the programs of the cluster from the pinned Go modules in `build/`, once per machine.

Each program lies in `~/.cache/tuneloop/devcluster/<module>-<key>/`, where the key is a hash of its module folder, its recipe and the Go
version, so that a change builds only the programs that it concerns. On two cores a cold build of the control plane takes about seven
minutes, and the further programs of a node about three; with a warm Go cache a build takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_lock import locked

from cluster import go_toolchain
from cluster.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BUILD_FOLDER = Path(__file__).parent / "build"
KUBERNETES = "v1.36.3"
_PROGRESS_SECONDS = 30


@dataclass(frozen=True)
class Program:
    """A folder below `build/` with a go.mod, and what is built in it."""

    module: str
    packages: tuple[tuple[str, str], ...]
    """(file, Go package) of each `go build`."""
    linker_flags: str = "-s -w"
    links: tuple[str, ...] = ()
    """Further names of the first file, whose behaviour depends on the name under which it is called."""


_VERSION = "k8s.io/component-base/version"
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
PROMETHEUS_ADAPTER = "sigs.k8s.io/prometheus-adapter"
PROGRAMS = {
    program.module: program
    for program in (
        Program("etcd", packages=(("etcd", "go.etcd.io/etcd/server/v3"),)),
        Program(
            "k8s",
            packages=(("k8s", "."),),
            linker_flags=f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36",
            links=("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet", "kube-proxy"),
        ),
        Program(
            "containerd",
            packages=tuple(
                (name, f"{_CONTAINERD}/{name}") for name in ("containerd", "containerd-shim-runc-v2", "ctr")
            ),
        ),
        Program("coredns", packages=(("coredns", "."),)),
        Program("pause", packages=(("pause", "."),)),
        Program("probe", packages=(("probe", "."),)),
        Program("kstatus", packages=(("kstatus", "."),)),
        Program("helm", packages=(("helm", "helm.sh/helm/v3/cmd/helm"),)),
        Program("prometheus-operator", packages=(("prometheus-operator", f"{PROMETHEUS_OPERATOR}/cmd/operator"),)),
        Program("prometheus-adapter", packages=(("prometheus-adapter", f"{PROMETHEUS_ADAPTER}/cmd/adapter"),)),
    )
}
CONTROL_PLANE = ("etcd", "k8s")
NODE = (*CONTROL_PLANE, "containerd", "coredns", "pause")


def cache_folder() -> Path:
    """Return the cache folder, which all checkouts share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuneloop" / "devcluster"


def ensure(*names: str, say: Callable[[str], None] = print) -> Path:
    """Return a folder in which these programs (keys of `PROGRAMS`; default: a control plane's) lie; build what is missing.

    Two callers at once build once: the second waits for the first. Raises BuildError, or ToolchainError when there is no Go.
    """
    programs = [PROGRAMS[name] for name in names or CONTROL_PLANE]
    cache = cache_folder()
    go = _find_go(programs, cache=cache, say=say)
    return _linked([_ensure(program, go=go, cache=cache, say=say) for program in programs], cache=cache)


def source_folder(name: str, module: str, *, say: Callable[[str], None] = print) -> Path:
    """Return the folder with the sources of a Go module that the program is built from, for files that are no code; they are fetched where Go's cache lacks them.

    Raises BuildError, or ToolchainError when there is no Go.
    """
    program = PROGRAMS[name]
    go = _find_go([program], cache=cache_folder(), say=say)
    command = [str(go), "mod", "download", "-json", module]
    place, environment = BUILD_FOLDER / program.module, go_toolchain.environment(go)
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"the sources of {module} cannot be had: {done.stderr.strip()[-400:] or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


def cache_key(program: Program, build_folder: Path, *, go_version: str) -> str:
    """Return the name of the cache folder for this recipe, the module's sources and this compiler."""
    folder = build_folder / program.module
    digest = hashlib.sha256(f"{go_version}\n{program}\n".encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\n{path.stat().st_size}\n".encode() + path.read_bytes())
    return f"{program.module}-{digest.hexdigest()[:16]}"


def _find_go(programs: Sequence[Program], *, cache: Path, say: Callable[[str], None]) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "go.lock", say=say):
        lowest = max(go_toolchain.required_release(BUILD_FOLDER / program.module / "go.mod") for program in programs)
        return go_toolchain.find_or_install(lowest=lowest, cache=cache, say=say)


def _ensure(program: Program, *, go: Path, cache: Path, say: Callable[[str], None]) -> Path:
    version = go_toolchain.version(go, module=BUILD_FOLDER / program.module)
    folder = cache / cache_key(program, BUILD_FOLDER, go_version=version)
    if folder.is_dir():
        return folder
    with locked(cache / f"{folder.name}.lock", say=say):
        if not folder.is_dir():
            _build_whole(program, go=go, folder=folder, say=say)
    return folder


def _linked(folders: Sequence[Path], *, cache: Path) -> Path:
    """Return one folder with links to everything in these folders of the cache, for PATH."""
    key = hashlib.sha256("\n".join(sorted(folder.name for folder in folders)).encode()).hexdigest()[:16]
    linked = cache / f"bin-{key}"
    if linked.is_dir():
        return linked
    with locked(cache / f"{linked.name}.lock", say=lambda _: None):
        if not linked.is_dir():
            partial = _fresh(linked)
            for path in (path for folder in folders for path in folder.iterdir()):
                (partial / path.name).symlink_to(Path("..") / path.parent.name / path.name)
            partial.rename(linked)
    return linked


def _build_whole(program: Program, *, go: Path, folder: Path, say: Callable[[str], None]) -> None:
    partial = _fresh(folder)
    for file, package in program.packages:
        _build(program, go=go, package=package, out=partial / file, say=say)
    for link in program.links:
        (partial / link).symlink_to(program.packages[0][0])
    partial.rename(folder)


def _fresh(folder: Path) -> Path:
    """Return an empty folder beside `folder`, to be renamed once it is complete: a folder of the final name is always complete."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a caller that was killed: the lock says that nobody else is at it
    partial.mkdir()
    return partial


def _build(program: Program, *, go: Path, package: str, out: Path, say: Callable[[str], None]) -> None:
    command = [str(go), "build", "-trimpath", "-ldflags", program.linker_flags, "-o", str(out), package]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=BUILD_FOLDER / program.module,
            env=go_toolchain.environment(go),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        say(f"building {out.name} from its Go modules (minutes the first time)")
        try:
            _wait(process, name=out.name, started=started, say=say)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        tail = "\n".join(output.read().splitlines()[-15:])
    if process.returncode != 0:
        raise BuildError(f"go build of {out.name} ended with {process.returncode}:\n{tail}")
    say(f"built {out.name} in {time.monotonic() - started:.0f} s")


def _wait(process: subprocess.Popen[bytes], *, name: str, started: float, say: Callable[[str], None]) -> None:
    while True:
        try:
            process.wait(timeout=_PROGRESS_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"building {name}: {time.monotonic() - started:.0f} s so far")
        else:
            return
