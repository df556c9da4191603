"""What the command `cluster` answers to a request that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import certificates
from cluster.api_client import Reply
from cluster.errors import ClusterError
from cluster.node import NodeCluster

DEV = Path(__file__).parents[3] / "dev"


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command with these variables; return its exit status and what it says on stderr."""
    command = [sys.executable, "-m", "cluster", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(DEV), **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--gpus", "2"], "--gpus: only with --node", id="GPUs without a node"),
        pytest.param(
            ["--mount", "/srv=/opt/x", "--python", ".venv"],
            "--mount and --python: only with --node",
            id="mounts without a node",
        ),
        pytest.param(["--node", "--port-base", "7000"], "--port-base: only without --node", id="ports with a node"),
    ],
)
def test_options_that_do_not_go_together_start_nothing(tmp_path, options, message):
    no_programs = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(tmp_path), "PIP_NO_INDEX": "1"}
    status, output = run("up", "--state", str(tmp_path / "state"), *options, **no_programs)
    assert (status, message in output) == (2, True)
    assert not (tmp_path / "state").exists()


def test_an_image_for_a_cluster_without_a_node_is_refused(tmp_path):
    (tmp_path / "cluster.json").write_text(json.dumps({"url": "https://127.0.0.1:1", "bin": str(tmp_path)}))
    (tmp_path / "image.tar").touch()
    status, output = run("load", "--state", str(tmp_path), str(tmp_path / "image.tar"))
    assert (status, output) == (1, f"error: the cluster in {tmp_path} has no node: start it with --node\n")


@pytest.mark.parametrize("openssl", [None, "#!/bin/sh\necho it is broken >&2; exit 3\n"], ids=["absent", "broken"])
def test_certificates_that_cannot_be_made_are_an_error_of_the_cluster(tmp_path, monkeypatch, openssl):
    if openssl is not None:
        (tmp_path / "openssl").write_text(openssl)
        (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(ClusterError, match="openssl"):
        certificates.make(tmp_path / "pki", server_url="https://127.0.0.1:6443")


def test_gpus_that_the_api_server_does_not_take_are_an_error(tmp_path, monkeypatch):
    cluster = NodeCluster(tmp_path, gpus=2)
    monkeypatch.setattr(cluster, "request", lambda *_, **__: Reply(409, {"message": "the object has been modified"}))
    with pytest.raises(ClusterError, match=r"2 GPUs.*409.*has been modified"):
        cluster._report_gpus("/api/v1/nodes/dev-node")
