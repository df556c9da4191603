"""One operator for all stories of this folder; it must live through them."""

from __future__ import annotations

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import FaultProxy
from foreign_hands import SharedEnvironment, Stage
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_status_patcher import PodStatusPatcher
from served_models import take_down
from stories_at_once import running_at_once


@pytest.fixture(scope="package")
def environment(custom_resources, tmp_path_factory):
    """One namespace, a leader behind a proxy, and whoever plays the pods: they succeed, unless a story says otherwise."""
    folder = tmp_path_factory.mktemp("foreign-hands")
    with (
        fresh_namespace(custom_resources) as namespace,
        # a real kubelet does not look at labels either
        PodStatusPatcher(custom_resources, namespace=namespace, selector="") as kubelet,
        FaultProxy(custom_resources, folder=folder / "proxy") as proxy,
    ):
        with RunningOperator(
            None, folder, kubeconfig=proxy.kubeconfig, pod_namespace=namespace, namespaces=namespace
        ) as operator:
            operator.wait_ready().wait_leading()
            yield SharedEnvironment(plane=custom_resources, namespace=namespace, kubelet=kubelet, proxy=proxy)
            assert operator.process.poll() is None, operator.log
            assert "unexpected error" not in operator.log
        take_down(NamespaceClient(custom_resources, namespace))


@pytest.fixture(scope="module")
def running_stories(request, environment):
    """The stories of a module, all begun at once."""
    with running_at_once(request, lambda: Stage(environment)) as futures:
        yield futures
