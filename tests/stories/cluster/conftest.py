"""A real one-node Kubernetes for the tests in this folder, on which pods run; marks them `cluster`.

    def test_a_pod_runs(node_cluster, namespace):
        applied = node_cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)

`node_cluster` (one per session, up in about six seconds, one per machine) is a `cluster.node.NodeCluster`:

    request(method, path, body=None, query=None, content_type="application/json") -> (status, body)   as administrator
    kubectl(*arguments, stdin=None) -> CompletedProcess (text)
    client() -> ApiClient            another connection, for a thread of its own; `for_thread()` is the whole cluster over one
    load_image(archive)              docker archive → images for pods with `imagePullPolicy: Never`
    share(claim, folder, namespace=…)    a ReadWriteMany claim on a folder of this machine
    plane.stop_api_server(), plane.start_api_server()
    kubeconfig, server_url, api_address_for_pods, bin, audit_log

`namespace` is the name of a fresh namespace, with Pod Security `restricted`, for one test. The image `dev.local/probe:1` is loaded
(`dev/cluster/build/probe` says what it does). `release` is the product, installed once per session (`cluster_release`). Stories `@at_once` and `@of_story` (`stories_at_once`)
get a `cluster_stories.Stage`.
Every container sees the packages of this
Python environment and the code of this tree, read-only, where the development image looks (`cluster.development`).

Where a node cannot run the tests are skipped with the reason; with TUNELOOP_REQUIRE_CLUSTER=1 missing Debian packages are installed,
and what then is still impossible is a failure.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cluster_release
import cluster_stories
import cluster_tier
import pytest
from cluster import binaries, machine
from cluster import images as image_files
from cluster.development import python_mounts
from cluster.errors import ClusterError
from cluster.node import NodeCluster
from images import targets
from images.errors import ImageError
from stories_at_once import running_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from helm_chart import Helm
    from stories_at_once import Futures

HERE = Path(__file__).parent
PROBE = "dev.local/probe:1"
_PROGRAMS = (*binaries.NODE, "probe")
_IMAGES = pytest.StashKey[dict[str, targets.Built | ImageError]]()
_ROUTER_STORIES = {"test_routed_canary.py", "test_other_images.py"}
"""The stories that need the image of routers, which every change of the code builds anew: nobody else waits for it."""
_TEST_SECONDS = 3600
"""For a test and what it waits for, so that a story gives up first: it says why."""
_WATCHED = (
    *("whole-way", "worker-deleted", "operator-killed", "drained", "deleted"),
    *(
        "sidecar",
        "late-artifact",
        "late-secrets",
        "late-token",
        "private-registry",
        "canary",
        "another-image",
        "kept-feedback",
    ),
)
"""Namespaces of the release, one a story: the same job has the same name in each."""
_AT_ONCE = 3
"""Stories that mostly wait leave room for others; each pod that imports torch fills one of two cores for ten seconds."""
_LONG_STORIES = ("rolled_out", "pulled_job", "test_a_proxy_that_never_ends_keeps_no_stage_from_ending", "foreign")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    cluster_tier.build_programs(session, fixture="node_cluster", programs=_PROGRAMS)
    used = any("release" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not used:
        return
    wanted = ["development"] + ["router"] * any(item.path.name in _ROUTER_STORIES for item in session.items)
    images = session.config.stash[_IMAGES] = {}
    for target in wanted:
        try:
            images[target] = targets.build(target, say=cluster_tier.sayer(session.config))
        except ImageError as error:
            images[target] = error


@pytest.fixture(scope="session")
def node_cluster(request: pytest.FixtureRequest) -> Iterator[NodeCluster]:
    """A node cluster of this session's own; at the end nothing of it may be left on the machine."""
    cluster_tier.check_build(request.config)
    say = cluster_tier.sayer(request.config)
    state = Path(
        tempfile.mkdtemp(prefix="tuneloop-")
    )  # not pytest's: it deletes old folders, whatever is mounted there
    running = NodeCluster(state, mounts=python_mounts(Path(sys.prefix)), gpus=4, audit=True, say=say)
    try:
        if cluster_tier.required():
            machine.install_packages(say=say)
        running.remove_leftovers()  # a session that was killed leaves settings that `up` would put back under our eyes
        settings = machine.kernel_settings()
        running.up()
    except (ClusterError, OSError) as error:
        cluster_tier.cannot_run(str(error))
    _load_probe(running)
    yield running
    running.down()
    left = {kind: found for kind, found in _traces(state).items() if found}
    assert not left, f"`down` left {left}"
    assert machine.kernel_settings() == settings
    shutil.rmtree(state)


@pytest.fixture
def traces(node_cluster: NodeCluster) -> Callable[[], dict[str, list[str]]]:
    """What shows of the node cluster on this machine: processes, mounts, interfaces, tables, control groups, files elsewhere."""
    return lambda: _traces(node_cluster.state)


@pytest.fixture
def namespace(node_cluster: NodeCluster) -> Iterator[str]:
    """The name of an empty namespace under Pod Security `restricted`, whose default service account exists."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster_tier.fresh_namespace(node_cluster, labels=labels) as name:
        yield name


@pytest.fixture(scope="session")
def release(
    request: pytest.FixtureRequest, node_cluster: NodeCluster, helm: Helm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[cluster_release.Release]:
    """The product on the node cluster, in the namespace `tuneloop-system`; each story has a watched namespace of its own."""
    for target, image in request.config.stash[_IMAGES].items():
        if isinstance(image, ImageError):
            cluster_tier.cannot_run(f"the image {target} cannot be built: {str(image).splitlines()[-1]}")
        node_cluster.load_image(image.archive)
    claim = cluster_release.claim_folder(tmp_path_factory.mktemp("claim"), rows=cluster_stories.ROWS)
    with cluster_release.installed(
        node_cluster, helm, namespace="tuneloop-system", watched=_WATCHED, claim=claim
    ) as running:
        yield running


@pytest.fixture(scope="session")
def running_stories(
    request: pytest.FixtureRequest, release: cluster_release.Release, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Futures]:
    """The stories of this folder that run at once. All end before the next file begins: another story drains their node."""

    development = request.config.stash[_IMAGES]["development"]

    def stage() -> cluster_stories.Stage:
        return cluster_stories.Stage(
            release=release.for_thread(),
            folder=tmp_path_factory.mktemp("story"),
            image=development.archive,
            base=development.base_archive,
        )

    with running_at_once(request, stage, folder=HERE, workers=_AT_ONCE, first=_LONG_STORIES) as begun:
        yield begun


@pytest.fixture(scope="session")
def served(release: cluster_release.Release, tmp_path_factory: pytest.TempPathFactory) -> cluster_stories.Served:
    """The undisturbed way from two manifests to a model that answers, and all that was observed on it."""
    return cluster_stories.served(release, "whole-way", tmp_path_factory.mktemp("watches"))


def _load_probe(running: NodeCluster) -> None:
    program = binaries.ensure("probe") / "probe"
    archive = running.state / "probe.tar"
    image_files.pack(PROBE, files={"/probe": program}, entrypoint=["/probe"], out=archive)
    running.load_image(archive)
    archive.unlink()


def _traces(state: Path) -> dict[str, list[str]]:
    """Look for them without the code that makes and removes them."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return {
        "processes": [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if str(state) in _content(path)],
        "processes of pods": [p.parent.name for p in Path("/proc").glob("[0-9]*/cgroup") if "/devk8s/" in _content(p)],
        "mounts": [line for line in _content(Path("/proc/self/mountinfo")).splitlines() if str(state) in line],
        "interfaces": [path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(("devk8s", "veth"))],
        "tables": [line for line in tables.splitlines() if "devk8s" in line or "kube-proxy" in line],
        "control groups": [str(path) for path in Path("/sys/fs/cgroup").glob("**/devk8s")],
        "files": [str(path) for pattern in ("lib/cni/results/*devk8s*", "log/containers/*") for path in Path("/var").glob(pattern)],
    }  # fmt: skip


def _content(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # the process ended meanwhile
        return ""
