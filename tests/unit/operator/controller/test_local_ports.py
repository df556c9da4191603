"""In local mode the port of a server is read from its pod; on a cluster there is none."""

from __future__ import annotations

import pytest

from tuneloop_operator.controller.observe.model_deployment import server_pod


def pod(**annotations):
    labels = {"tuneloop.dev/deployment": "reviews", "tuneloop.dev/revision": "7d1f"}
    return {"metadata": {"name": "reviews-7d1f-abcde", "uid": "u1", "labels": labels, "annotations": annotations}}


def port_of(address) -> int | None:
    return server_pod(pod(**{"tuneloop.dev/local-url": address})).port


def test_a_pod_of_this_machine_has_the_port_that_the_kubelet_chose():
    assert port_of("http://127.0.0.1:41234") == 41234


@pytest.mark.parametrize("address", ["", "http://10.0.0.7:80", "http://127.0.0.1:", "http://127.0.0.1:x", "http://127.0.0.1:99999999", "http://127.0.0.1:80/a"])  # fmt: skip
def test_an_address_that_no_kubelet_writes_is_no_port(address):
    assert port_of(address) is None


def test_a_pod_of_a_cluster_has_none():
    assert server_pod(pod()).port is None
