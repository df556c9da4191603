"""What the tests of the operator's process share: one replica for all that do not end it, and replicas for one test."""

from __future__ import annotations

import pytest
from cluster_tier import fresh_namespace
from namespace_client import NamespaceClient
from operator_counts import written
from operator_process import RunningOperator
from waiting import until


@pytest.fixture(scope="package")
def place(custom_resources):
    """The namespace that `operator` watches; each test uses another name in it."""
    with fresh_namespace(custom_resources) as namespace:
        client = NamespaceClient(custom_resources, namespace)
        yield client
        client.close()


@pytest.fixture(scope="package")
def operator(custom_resources, place, tmp_path_factory):
    """One replica for the tests that do not end it, an interpreter of its own as in a pod."""
    folder = tmp_path_factory.mktemp("operator")
    with (
        fresh_namespace(custom_resources) as home,
        RunningOperator(
            custom_resources, folder, fresh=True, namespaces=place.namespace, pod_namespace=home
        ) as running,
    ):
        running.wait_ready().wait_leading()
        until(lambda: "endpointslices" in written(running), seconds=10, what="the address")
        yield running


@pytest.fixture
def own_place(custom_resources, namespace):
    """The namespace that the replicas of one test watch."""
    client = NamespaceClient(custom_resources, namespace)
    yield client
    client.close()


@pytest.fixture
def replica(custom_resources, own_place, tmp_path):
    """Return a function that starts a replica; those of one test share one Lease."""
    running = []
    with fresh_namespace(custom_resources) as home:

        def start(pod="operator-0", **settings):
            settings = {"pod_namespace": home, "namespaces": own_place.namespace} | settings
            running.append(RunningOperator(custom_resources, tmp_path, pod=pod, **settings))
            running[-1].start()
            return running[-1]

        yield start
        for process in running:
            process.kill()
