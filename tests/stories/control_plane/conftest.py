"""A real API server and controller-manager for the tests in this folder; marks them `control_plane`.

    def test_a_job_gets_its_pods(control_plane, namespace):
        reply = control_plane.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body=job)
        assert reply.status == 201, reply.body

`control_plane` (one per session, up in about four seconds) is a `cluster.control_plane.ControlPlane`:

    request(method, path, body=None, query=None, content_type="application/json") -> (status, body)   as administrator
    kubectl(*arguments, stdin=None) -> CompletedProcess (text)
    client() -> ApiClient      another connection, for a thread of its own
    kubeconfig, server_url, audit_log

`namespace` is the name of a fresh namespace for one test, `shared_namespace` of one for a whole file; `custom_resources` installs `crds/` (once) and yields the control plane.
A strict dry run of a manifest: POST it with `query={"dryRun": "All", "fieldValidation": "Strict"}`.
No pod ever runs here: there is no scheduler and no kubelet, so a test plays their part by writing `status` of pods.

The programs are built on first use, before the first test (minutes, once per machine). Where that is impossible the tests are
skipped with the reason; with TUNELOOP_REQUIRE_CLUSTER=1 they fail instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cluster_tier
import pytest
from cluster import binaries
from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


class FolderScheduling(LoadFileScheduling):
    """Gives each file here, and each folder, whose fixtures make one environment for all its files, to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return (Path(self.config.rootpath) / file).relative_to(HERE).parts[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.control_plane)


def pytest_collection_finish(session: pytest.Session) -> None:
    cluster_tier.build_programs(session, fixture="control_plane", programs=binaries.CONTROL_PLANE)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this session's own."""
    cluster_tier.check_build(request.config)
    plane = ControlPlane(tmp_path_factory.mktemp("control-plane"), audit=True)
    try:
        plane.up()
    except (ClusterError, OSError) as error:
        cluster_tier.cannot_run(str(error))
    yield plane
    plane.down()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of an empty namespace whose default service account exists, so that pods are admitted."""
    with cluster_tier.fresh_namespace(control_plane) as name:
        yield name


@pytest.fixture(scope="module")
def shared_namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of one namespace for all tests of a file that store nothing in it, or other names each.

    To make and delete a namespace takes more work than to try a manifest: the controllers look for objects of every kind.
    """
    with cluster_tier.fresh_namespace(control_plane) as name:
        yield name


@pytest.fixture(scope="session")
def custom_resources(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRDs of `crds/` installed and established."""
    cluster_tier.install_crds(control_plane)
    return control_plane
