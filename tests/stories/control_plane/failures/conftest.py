"""One operator and a real scheduler for all stories of this folder, on a control plane of their own: nodes and namespaces are broken here.

The stories of all files are begun at once: most of the time they wait for Kubernetes' own grace periods.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster.control_plane import ControlPlane
from cluster_tier import fresh_namespace, install_crds
from failing_jobs import LOW, URGENT, SharedEnvironment, Stage, start_scheduler
from fault_proxy import FaultProxy
from operator_process import RunningOperator
from pod_status_patcher import PodStatusPatcher
from stories_at_once import running_at_once

AT_ONCE = 24
"""Stories that run side by side; more would only make all of them slower."""


@pytest.fixture(scope="package")
def environment(control_plane, tmp_path_factory):
    """Every namespace is watched; pods succeed, unless a story says otherwise. `control_plane` is asked for so that its programs are built."""
    folder = tmp_path_factory.mktemp("failures")
    with ControlPlane(folder / "plane") as plane:
        install_crds(plane)
        plane.restart_controller_manager()  # its garbage collector looks for new kinds only twice a minute
        start_scheduler(plane)
        for name, value in ((LOW, -10), (URGENT, 1000)):
            priority = {"metadata": {"name": name}, "value": value}
            assert plane.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority).status == 201
        with (
            fresh_namespace(plane) as namespace,
            PodStatusPatcher(plane, nodes=["steady-0", "steady-1"], has_scheduler=True) as kubelet,
            FaultProxy(plane, folder=folder / "proxy") as proxy,
            RunningOperator(None, folder, kubeconfig=proxy.kubeconfig, pod_namespace=namespace) as operator,
        ):
            operator.wait_ready().wait_leading()
            shared = SharedEnvironment(
                plane=plane, namespace=namespace, kubelet=kubelet, proxy=proxy, operator=operator
            )
            Stage(shared).furnish(namespace)
            yield shared
            assert operator.process.poll() is None, operator.log
            assert "unexpected error" not in operator.log


@pytest.fixture(scope="package")
def running_stories(request, environment):
    """The stories of this folder."""
    with running_at_once(request, lambda: Stage(environment), folder=Path(__file__).parent, workers=AT_ONCE) as futures:
        yield futures
