from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_manifests import fine_tune_job

from tuneloop_cli.local.overlay import ANNOTATION, Hardware, overlay, without_cluster_fields

NO_GPU = Hardware(gpus=0, ranks=2)
CASES = [
    # asked for, GPUs here, ranks here -> runs with
    pytest.param({}, 0, 4, {"nodes": 1, "gpusPerNode": 0, "processesPerNode": 1}, id="the default GPU is not there"),
    pytest.param(
        {"nodes": 2, "gpusPerNode": 8},
        0,
        4,
        {"nodes": 2, "gpusPerNode": 0, "processesPerNode": 2},
        id="ranks are shared out",
    ),
    pytest.param(
        {"nodes": 2, "gpusPerNode": 8},
        0,
        64,
        {"nodes": 2, "gpusPerNode": 0, "processesPerNode": 8},
        id="no more than asked for",
    ),
    pytest.param(
        {"nodes": 8, "gpusPerNode": 1}, 0, 2, {"nodes": 2, "gpusPerNode": 0, "processesPerNode": 1}, id="fewer nodes"
    ),
    pytest.param(
        {"nodes": 3, "gpusPerNode": 2}, 0, 4, {"nodes": 3, "gpusPerNode": 0, "processesPerNode": 1}, id="uneven"
    ),
    pytest.param(
        {"gpusPerNode": 2, "processesPerNode": 4},
        0,
        3,
        {"nodes": 1, "gpusPerNode": 0, "processesPerNode": 3},
        id="own number of ranks",
    ),
    pytest.param(
        {"nodes": 2, "gpusPerNode": 8},
        1,
        4,
        {"nodes": 1, "gpusPerNode": 1, "processesPerNode": 1},
        id="one GPU of many",
    ),
]


@pytest.mark.parametrize(("asked", "gpus", "ranks", "given"), CASES)
def test_gpus_that_are_absent_become_ranks(asked, gpus, ranks, given):
    fitted = overlay(fine_tune_job(resources=asked), Hardware(gpus=gpus, ranks=ranks))
    assert fitted.manifest["spec"]["resources"] == given
    assert "GPU" in fitted.lines[0]
    assert json.loads(fitted.manifest["metadata"]["annotations"][ANNOTATION]) == list(fitted.lines)


@pytest.mark.parametrize(
    ("asked", "gpus"),
    [
        pytest.param({"gpusPerNode": 0, "nodes": 16, "processesPerNode": 4}, 0, id="CPU job"),
        pytest.param({"gpusPerNode": 1}, 1, id="the GPU is there"),
        pytest.param({"gpusPerNode": 2, "nodes": 2}, 4, id="all GPUs are there"),
    ],
)
def test_a_job_that_runs_as_written_is_not_touched(asked, gpus):
    manifest = fine_tune_job(resources=asked)
    fitted = overlay(manifest, Hardware(gpus=gpus, ranks=1))
    assert (fitted.manifest, fitted.lines) == (manifest, ())


def test_each_change_is_reported_with_its_path():
    lines = overlay(fine_tune_job(resources={"nodes": 4, "gpusPerNode": 2}), Hardware(gpus=0, ranks=2)).lines
    assert lines == (
        "the job asks for 8 GPUs and this machine has none; the trained model is the same",
        "spec.resources.nodes: 4 -> 2",
        "spec.resources.gpusPerNode: 2 -> 0",
        "spec.resources.processesPerNode: 2 -> 1",
    )


def test_the_name_of_the_gpu_resource_goes_and_the_rest_stays():
    asked = {"gpuResource": "amd.com/gpu", "cpu": "4", "memory": "8Gi"}
    fitted = overlay(fine_tune_job(resources=asked), Hardware(gpus=0, ranks=1)).manifest["spec"]["resources"]
    assert fitted == {"cpu": "4", "memory": "8Gi", "nodes": 1, "gpusPerNode": 0, "processesPerNode": 1}


@settings(deadline=None)
@given(
    nodes=st.integers(1, 64),
    gpus=st.integers(1, 16),
    processes=st.integers(1, 32),
    here=st.integers(0, 8),
    ranks=st.integers(1, 256),
)
def test_never_more_than_the_machine_has_nor_than_was_asked_for(nodes, gpus, processes, here, ranks):
    asked = {"nodes": nodes, "gpusPerNode": gpus, "processesPerNode": processes}
    given_ = overlay(fine_tune_job(resources=asked), Hardware(gpus=here, ranks=ranks)).manifest["spec"]["resources"]
    assert 1 <= given_["nodes"] <= nodes
    assert given_["nodes"] * given_["gpusPerNode"] <= here
    if given_["gpusPerNode"] == 0:
        assert 1 <= given_["processesPerNode"] <= processes
        assert given_["nodes"] * given_["processesPerNode"] <= ranks


CPU = {"gpusPerNode": 0, "nodes": 2}


def fitted_scheduling(given, *, resources=CPU, ranks=4):
    fitted = overlay(fine_tune_job(resources=resources, scheduling=given), Hardware(gpus=0, ranks=ranks))
    return fitted.manifest["spec"].get("scheduling"), fitted.lines


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"queueName": "team-a"}, "spec.scheduling.queueName: left out, there is no queue on one machine"),
        (
            {"priorityClassName": "low"},
            "spec.scheduling.priorityClassName: left out, there are no other pods to come before",
        ),
        ({"avoidBadNodes": True}, "spec.scheduling.avoidBadNodes: left out, there is no other node"),
        ({"hostNetwork": True}, "spec.scheduling.hostNetwork: left out, the ranks of one machine talk over loopback"),
    ],
    ids=["queue", "priority", "bad nodes", "host network"],
)
def test_scheduling_that_means_nothing_on_one_machine_is_left_out_and_reported(given, line):
    assert fitted_scheduling(given) == (None, (line,))


PLACED = {
    "scheduling": {"minNodes": 1, "nodeSelector": {"pool": "gpu"}, "tolerations": [{"operator": "Exists"}]},
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "search"},
}
NOTE = "left out, there is one machine, with its own packages and no image to pull"


def test_placement_is_left_out_with_one_note_and_labels_stay():
    fitted = overlay(fine_tune_job(resources=CPU, **PLACED), Hardware(gpus=0, ranks=4))
    spec = fitted.manifest["spec"]
    assert (spec["scheduling"], spec["labels"]) == ({"minNodes": 1}, {"team": "search"})
    assert "imagePullSecrets" not in spec
    names = "spec.imagePullSecrets, spec.scheduling.nodeSelector, spec.scheduling.tolerations"
    assert fitted.lines == (f"{names}: {NOTE}",)


def test_a_deployment_leaves_placement_out_too():
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "a"}, "spec": {"replicas": 2}}
    assert without_cluster_fields(deployment, NO_GPU).manifest is deployment
    placed = deployment | {"spec": {"replicas": 2, "scheduling": {"priorityClassName": "a"}}}
    fitted = without_cluster_fields(placed, NO_GPU)
    assert fitted.manifest["spec"] == {"replicas": 2}
    assert fitted.lines == (f"spec.scheduling.priorityClassName: {NOTE}",)


@pytest.mark.parametrize(("here", "kept"), [(0, {}), (1, {"gpus": 1, "gpuResource": "amd.com/gpu"})])
def test_a_deployment_is_served_on_the_cpu_where_its_gpu_is_not_there(here, kept):
    spec = {"replicas": 2, "resources": {"gpus": 1, "gpuResource": "amd.com/gpu", "cpu": 2}}
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "a"}, "spec": spec}
    fitted = without_cluster_fields(deployment, Hardware(gpus=here, ranks=2))
    assert fitted.manifest["spec"]["resources"] == {"cpu": 2} | kept
    assert fitted.lines == (() if kept else ("spec.resources.gpus: 1 -> 0, this machine has none; the CPU computes",))


def test_the_rest_of_the_scheduling_stays():
    given = {"queueName": "team-a", "minNodes": 1, "shrinkAfter": "5m", "avoidBadNodes": False}
    scheduling, lines = fitted_scheduling(given)
    assert scheduling == {"minNodes": 1, "shrinkAfter": "5m", "avoidBadNodes": False}
    assert len(lines) == 1


def test_the_least_number_of_nodes_is_no_more_than_there_are():
    asked = {"nodes": 8, "gpusPerNode": 1}
    scheduling, lines = fitted_scheduling({"minNodes": 4}, resources=asked, ranks=2)
    assert scheduling == {"minNodes": 2}
    assert lines[-1] == "spec.scheduling.minNodes: 4 -> 2"


def test_scheduling_that_runs_as_written_is_not_touched():
    assert fitted_scheduling({"minNodes": 1, "shrinkAfter": "5m"}) == ({"minNodes": 1, "shrinkAfter": "5m"}, ())


def test_the_given_manifest_is_left_as_it_was():
    manifest = fine_tune_job()
    overlay(manifest, Hardware(gpus=0, ranks=2))
    assert manifest == fine_tune_job()


def test_volumes_are_left_out_with_a_sentence_of_their_own():
    volumes = [{"name": "a", "mountPath": "/a", "secret": {"secretName": "a"}}]
    manifest = fine_tune_job(resources={"gpusPerNode": 0}, volumes=volumes, imagePullPolicy="Never")
    fitted = overlay(manifest, Hardware(gpus=0, ranks=2))
    assert "volumes" not in fitted.manifest["spec"]
    of_volumes, others = fitted.lines
    assert of_volumes.startswith("spec.volumes: left out, one machine mounts no Secret, ConfigMap or claim")
    assert others.startswith("spec.imagePullPolicy: left out")
    deployment = {"kind": "ModelDeployment", "metadata": {"name": "a"}, "spec": {"model": {}, "volumes": volumes}}
    assert without_cluster_fields(deployment, NO_GPU).lines == (of_volumes,)


def test_network_and_what_a_node_is_asked_for_are_left_out():
    resources = {"gpusPerNode": 0, "cpu": 2, "sharedMemory": "1Gi", "extended": {"a/b": 1}}
    fitted = overlay(fine_tune_job(resources=resources, network={"interface": "net1"}), Hardware(gpus=0, ranks=2))
    assert fitted.lines == (
        "spec.resources.sharedMemory, spec.resources.extended: left out, the machine is shared as it is",
        "spec.network: left out, the ranks of one machine talk over loopback",
    )
    assert fitted.manifest["spec"]["resources"] == {"gpusPerNode": 0, "cpu": 2}
    assert "network" not in fitted.manifest["spec"]


@pytest.mark.parametrize(("limits", "count"), [({"max": 4}, 1), ({"min": 2, "max": 4}, 2)])
def test_one_machine_has_no_autoscaler_and_runs_the_least_servers(limits: dict[str, int], count: int) -> None:
    deployment = {"kind": "ModelDeployment", "metadata": {}, "spec": {"model": {}, "autoscaling": limits}}
    fitted = without_cluster_fields(deployment, NO_GPU)
    assert fitted.manifest["spec"] == {"replicas": count}
    (line,) = fitted.lines
    assert line.startswith("spec.autoscaling: left out")
    assert f"spec.replicas: {count}" in line


def test_feedback_without_settings_stays():
    spec = {"model": {"uri": "pvc://a/b"}, "feedback": {}, "autoscaling": {"max": 3}}
    changed = without_cluster_fields({"metadata": {"name": "a"}, "spec": spec}, NO_GPU).manifest["spec"]
    assert changed["feedback"] == {}
