"""What containers request and may use: requests apart from limits, disk, devices, and the size of /dev/shm."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import a_job, container_of, job_pods, pod_in, server

from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_operator.desired.common.resources import half_of_memory

Fields = dict[str, Any]
CPU = {"gpusPerNode": 0}


def train(**resources: Any) -> Fields:
    """Return the resources of the training pod's container."""
    found: Fields = container_of(job_pods(resources=resources)["train"])["resources"]
    return found


def serve(**resources: Any) -> Fields:
    """Return the resources of the server's container."""
    found: Fields = container_of(pod_in(server(resources=resources)))["resources"]
    return found


def shm_of(pod: Fields) -> tuple[list[Fields], list[Fields]]:
    """Return the volume and the mount of /dev/shm; empty lists if there is none."""
    volumes = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm"]
    return volumes, [mount for mount in container_of(pod)["volumeMounts"] if mount["name"] == "shm"]


def test_a_pod_without_resources_asks_for_none() -> None:
    assert train(**CPU) == {}
    assert serve() == {}
    assert train() == {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}


def test_requests_equal_limits_unless_the_object_says_otherwise() -> None:
    limits = {"cpu": "8", "memory": "64Gi", "ephemeral-storage": "20Gi", "rdma/hca": "1"}
    given: Fields = {"cpu": 8, "memory": "64Gi", "ephemeralStorage": "20Gi", "extended": {"rdma/hca": 1}}
    for found in (train(**CPU, **given), serve(**given)):
        assert found == {"requests": limits, "limits": limits}
    requests = {"cpu": "4", "memory": "8Gi"}
    for found in (train(**CPU, **given, requests=requests), serve(**given, requests=requests)):
        assert found == {"requests": limits | requests, "limits": limits}
    for found in (train(**CPU, requests=requests), serve(requests=requests)):
        assert found == {"requests": requests}


def test_the_cpu_stages_get_nothing_of_the_training_pods() -> None:
    given: Fields = {
        "cpu": 8,
        "extended": {"rdma/hca": 1},
        "sharedMemory": "1Gi",
        "requests": {"cpu": 1},
        "prepare": {"cpu": 2},
    }
    pods = job_pods(resources=given)
    assert container_of(pods["prepare"])["resources"] == {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    assert container_of(pods["export"])["resources"] == {}
    assert [shm_of(pods[stage]) for stage in ("prepare", "export")] == [([], [])] * 2


def test_servers_get_gpus() -> None:
    assert serve(gpus=1)["limits"] == {"nvidia.com/gpu": "1"}
    assert serve(gpus=1, gpuResource="amd.com/gpu")["limits"] == {"amd.com/gpu": "1"}
    assert serve(gpus=0) == {}


@pytest.mark.parametrize(
    ("resources", "limit"),
    [
        pytest.param({}, None, id="no limit of memory"),
        pytest.param({"memory": "16Gi"}, "8192Mi", id="half"),
        pytest.param({"memory": "512Gi"}, "65536Mi", id="at most 64Gi"),
        pytest.param({"memory": "512Gi", "sharedMemory": "128Gi"}, "128Gi", id="the object wins"),
        pytest.param({"memory": "16Gi"} | CPU, None, id="on CPU"),
        pytest.param({"sharedMemory": "1Gi"} | CPU, "1Gi", id="given, on CPU"),
    ],
)
def test_a_gang_has_shared_memory(resources: Fields, limit: str | None) -> None:
    size = {"sizeLimit": limit} if limit else {}
    mount = {"name": "shm", "mountPath": "/dev/shm"}
    assert shm_of(job_pods(resources=resources)["train"]) == ([{"medium": "Memory"} | size], [mount])


@pytest.mark.parametrize(
    ("memory", "half"), [("2Mi", "1Mi"), ("2000000", "1000000"), ("128Gi", "65536Mi"), ("1", "0"), (None, None)]
)
def test_half_of_the_memory(memory: str | None, half: str | None) -> None:
    assert half_of_memory(memory) == half


def test_servers_have_shared_memory_where_they_ask_for_it() -> None:
    assert shm_of(pod_in(server())) == ([], [])
    mount = {"name": "shm", "mountPath": "/dev/shm"}
    assert shm_of(pod_in(server(resources={"sharedMemory": "1Gi"}))) == (
        [{"medium": "Memory", "sizeLimit": "1Gi"}],
        [mount],
    )


def test_resources_are_no_part_of_a_run_but_of_a_servers_revision() -> None:
    for given in (
        {"requests": {"cpu": 1}},
        {"sharedMemory": "1Gi"},
        {"extended": {"a/b": 1}},
        {"ephemeralStorage": "1Gi"},
    ):
        assert config_hash(as_set(a_job(resources=given).spec)) == config_hash(as_set(a_job().spec))
        assert server(resources=given)["metadata"]["name"] != server()["metadata"]["name"]
