"""What a node needs of a machine, and what is noted about its processes and mounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import cgroups, container_runtime, machine, network, processes
from cluster.errors import MachineError
from cluster.node import NodeCluster

DEV = Path(__file__).parents[3] / "dev"


def test_missing_packages_are_named_with_the_command_that_installs_them(tmp_path, monkeypatch):
    _as_root_with_everything(tmp_path, monkeypatch)
    monkeypatch.setattr(machine, "PATH", str(tmp_path))
    (tmp_path / "runc").touch(mode=0o755)
    with pytest.raises(MachineError, match=r"apt-get install -y nftables conntrack iproute2 openssl$"):
        machine.check()


def test_a_user_who_is_not_root_gets_an_error(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="a node needs root"):
        machine.check()


def test_packages_are_not_installed_by_another_user_but_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "PATH", str(tmp_path))
    monkeypatch.setattr(machine, "cni_folder", lambda: None)
    with pytest.raises(
        MachineError, match=r"only root .* apt-get install -y .* runc nftables .* containernetworking-plugins"
    ):
        machine.install_packages(say=print)


def test_an_error_of_the_command_is_one_line(tmp_path):
    command = [sys.executable, "-m", "cluster", "load", "--state", str(tmp_path), "image.tar"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(DEV)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"error: no cluster in {tmp_path}: start it first\n")


@pytest.mark.parametrize(
    ("place", "folder"),
    [
        pytest.param("relative", ".", id="a path in pods that is not absolute"),
        pytest.param("/opt/x", "absent", id="a folder that does not exist"),
    ],
)
def test_a_mount_that_cannot_be_is_refused_before_anything_starts(tmp_path, monkeypatch, place, folder):
    monkeypatch.setattr(machine, "check", lambda: None)
    with pytest.raises(Exception, match="a mount needs a folder of this machine and an absolute path in pods"):
        NodeCluster(tmp_path, mounts={place: tmp_path / folder}).up()
    assert not list(tmp_path.iterdir())


def test_a_state_folder_too_deep_for_sockets_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "check", lambda: None)
    with pytest.raises(MachineError, match="too long for unix sockets"):
        NodeCluster(tmp_path / ("x" * 60)).up()


def test_the_end_of_a_cluster_that_lost_the_machine_to_another_leaves_the_others_pods_alone(tmp_path, monkeypatch):
    (tmp_path / "node.json").write_text('{"kernel_settings": {}}')
    monkeypatch.setattr(network, "owner", lambda: tmp_path / "another")
    monkeypatch.setattr(cgroups, "end_processes", lambda: pytest.fail("it killed the other cluster's pods"))
    monkeypatch.setattr(network, "remove", lambda: pytest.fail("it removed the other cluster's network"))
    NodeCluster(tmp_path).down()
    assert not (tmp_path / "node.json").exists()


def test_programs_of_the_network_are_found_in_the_folders_of_root(tmp_path, monkeypatch):
    """`su` on Debian keeps the PATH of the user, which has no sbin."""
    for name, status in (("nft", 1), ("ip", 0)):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\nexit {status}\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(machine, "PATH", str(tmp_path))
    monkeypatch.setattr(network, "_CNI_RESULTS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    network.remove()
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"ip link del {network.BRIDGE}"


def test_the_base_spec_adds_read_only_mounts_and_no_security_setting():
    default = {
        "process": {"args": ["sh"], "apparmorProfile": "some", "rlimits": [{"type": "RLIMIT_NOFILE"}]},
        "linux": {"namespaces": [], "seccomp": {}},
        "mounts": [{"destination": "/proc"}],
    }
    spec = container_runtime.base_spec(default, mounts={"/opt/venv": Path("/srv/venv")})
    assert spec["process"] == {"args": ["sh"]}
    assert spec["linux"] == {"namespaces": []}
    (_, extra) = spec["mounts"]
    assert (extra["source"], extra["destination"], "ro" in extra["options"]) == ("/srv/venv", "/opt/venv", True)


def test_a_process_is_found_by_its_folder_even_after_that_was_deleted(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
        try:
            folder.rmdir()
            assert processes.working_in(folder) == [process.pid]
        finally:
            process.kill()


def _as_root_with_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "cni_folder", lambda: tmp_path)
    monkeypatch.setattr(machine, "_CAPABILITIES", {})
