"""What the tiers on a real Kubernetes have in common: programs are built before the first test, and a machine that cannot run one skips."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from cluster import binaries
from cluster.errors import ClusterError
from waiting import deadline_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cluster.access import RunningCluster

CRDS = Path(__file__).parents[2] / "crds"
_NUMBERS = count(1)
_BUILD_FAILED = pytest.StashKey[str]()


def required() -> bool:
    """Whether a tier that cannot run is a failure."""
    return os.environ.get("TUNELOOP_REQUIRE_CLUSTER") == "1"


def build_programs(session: pytest.Session, *, fixture: str, programs: Sequence[str]) -> None:
    """Build what is missing, if a collected test uses the fixture. To be called after collection: a cold build takes longer than one test may."""
    used = any(fixture in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not used:
        return
    try:
        binaries.ensure(*programs, say=sayer(session.config))
    except (ClusterError, OSError) as error:
        session.config.stash[_BUILD_FAILED] = str(error)


def check_build(config: pytest.Config) -> None:
    """Skip, or fail where the tier is required, if the build failed."""
    if reason := config.stash.get(_BUILD_FAILED, ""):
        cannot_run(reason)


def cannot_run(reason: str) -> NoReturn:
    """Skip, or fail where the tier is required."""
    if required():
        pytest.fail(f"a cluster is required here (TUNELOOP_REQUIRE_CLUSTER=1) and cannot run: {reason}")
    pytest.skip(f"the cluster cannot run on this machine: {reason}")


def sayer(config: pytest.Config) -> Callable[[str], None]:
    """Return what shows a line to the person who runs the tests, whatever pytest captures at the time."""
    capture = config.pluginmanager.get_plugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, file=sys.__stderr__, flush=True)  # a worker of pytest-xdist has no terminal reporter

    return say


def install_crds(cluster: RunningCluster) -> None:
    """Install the CRDs of `crds/` and return once they are established."""
    for arguments in (("apply", "--server-side"), ("wait", "--for=condition=Established", "--timeout=120s")):
        done = cluster.kubectl(*arguments, "-f", str(CRDS))
        assert done.returncode == 0, done.stderr


@contextmanager
def fresh_namespace(cluster: RunningCluster, *, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """Make an empty namespace whose default service account exists, so that pods are admitted; yield its name."""
    name = f"test-{next(_NUMBERS)}"
    make_namespace(cluster, name, labels=labels)
    yield name
    cluster.request("DELETE", f"/api/v1/namespaces/{name}")


def make_namespace(cluster: RunningCluster, name: str, *, labels: Mapping[str, str] | None = None) -> None:
    """Make a namespace, and return once its default service account exists."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
    reply = cluster.request("POST", "/api/v1/namespaces", body)
    assert reply.status == 201, reply.body
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    deadline = deadline_after(20)
    while cluster.request("GET", account).status != 200:
        assert time.monotonic() < deadline, f"no default service account in {name} in time"
        time.sleep(0.02)
