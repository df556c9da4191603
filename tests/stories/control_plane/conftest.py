"""A real API server and controller-manager for the tests in this folder; marks them `control_plane`.

    def test_a_job_gets_its_pods(control_plane, namespace):
        reply = control_plane.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body=job)
        assert reply.status == 201, reply.body

`control_plane` (one per session, up in about four seconds) is a `cluster.control_plane.ControlPlane`:

    request(method, path, body=None, query=None, content_type="application/json") -> (status, body)   as administrator
    kubectl(*arguments, stdin=None) -> CompletedProcess (text)
    client() -> ApiClient      another connection, for a thread of its own
    kubeconfig, server_url, audit_log

`namespace` is the name of a fresh namespace for one test; `custom_resources` installs `crds/` (once) and yields the control plane.
A strict dry run of a manifest: POST it with `query={"dryRun": "All", "fieldValidation": "Strict"}`.
No pod ever runs here: there is no scheduler and no kubelet, so a test plays their part by writing `status` of pods.

The programs are built on first use, before the first test (minutes, once per machine). Where that is impossible the tests are
skipped with the reason; with TUNELOOP_REQUIRE_CLUSTER=1 they fail instead.
"""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import binaries
from cluster.control_plane import ControlPlane, ControlPlaneError
from cluster.go_toolchain import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CRDS = HERE.parents[2] / "crds"
_NUMBERS = count(1)
_BUILD_FAILED = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.control_plane)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing now: a cold build takes longer than one test may."""
    if session.config.option.collectonly or not any(
        "control_plane" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        binaries.ensure(say=terminal.write_line if terminal else print)
    except (binaries.BuildError, ToolchainError, OSError) as error:
        session.config.stash[_BUILD_FAILED] = str(error)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this session's own."""
    if reason := request.config.stash.get(_BUILD_FAILED, ""):
        _cannot_run(reason)
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), audit=True)
    try:
        plane.up()
    except (ControlPlaneError, OSError) as error:
        _cannot_run(str(error))
    yield plane
    plane.down()


def _cannot_run(reason: str) -> None:
    if os.environ.get("TUNELOOP_REQUIRE_CLUSTER") == "1":
        pytest.fail(f"the control plane is required here (TUNELOOP_REQUIRE_CLUSTER=1) and cannot run: {reason}")
    pytest.skip(f"the control plane cannot run on this machine: {reason}")


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of an empty namespace whose default service account exists, so that pods are admitted."""
    name = f"test-{next(_NUMBERS)}"
    reply = control_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    assert reply.status == 201, reply.body
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    deadline = time.monotonic() + 20
    while control_plane.request("GET", account).status != 200:
        assert time.monotonic() < deadline, f"no default service account in {name} after 20 s"
        time.sleep(0.02)
    yield name
    control_plane.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def custom_resources(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRDs of `crds/` installed and established."""
    applied = control_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    assert applied.returncode == 0, applied.stderr
    established = control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", str(CRDS))
    assert established.returncode == 0, established.stderr
    return control_plane
