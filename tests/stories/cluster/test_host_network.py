"""Training pods on the network of their node, on a real node; and what a capability is worth to a user other than root."""

from __future__ import annotations

import copy
import json

import cluster_tier
import pytest
from desired_pods import SETTINGS, a_job, job_children
from waiting import until

from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.fine_tune_job.host_network import rendezvous_port
from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service

PROBE = "dev.local/probe:1"
SPEC = {"scheduling": {"hostNetwork": True}, "resources": {"nodes": 2, "gpusPerNode": 0}}
PORT = rendezvous_port(a_job(**SPEC))
INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture
def privileged(node_cluster):
    """The name of an empty namespace under Pod Security `privileged`."""
    with cluster_tier.fresh_namespace(
        node_cluster, labels={"pod-security.kubernetes.io/enforce": "privileged"}
    ) as name:
        yield name


def test_of_a_gang_one_pod_runs_on_a_node_and_its_name_leads_to_the_port_of_the_node(node_cluster, privileged):
    gang = _gang()
    _apply(node_cluster, privileged, _without_owner(rendezvous_service(a_job(**SPEC))), gang)
    running = until(lambda: _running(node_cluster, privileged), seconds=60, what="a pod of the gang that runs")
    assert running["status"]["podIP"] == running["status"]["hostIP"]
    reason = until(lambda: _unschedulable(node_cluster, privileged), seconds=60, what="the other pod's reason to wait")
    assert "didn't have free ports for the requested pod ports" in reason
    name = f"{gang['metadata']['name']}-{running['metadata']['annotations'][INDEX]}.reviews-train"
    _apply(node_cluster, privileged, _peer(gang, "get", f"http://{name}:{PORT}/"))
    assert _outcome(node_cluster, privileged, "peer") == ("Succeeded", "hello from the gang")


def test_a_capability_that_is_added_has_no_effect_for_a_user_other_than_root(node_cluster, privileged):
    pod = _peer(_gang(), "status")
    pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = ["IPC_LOCK"]
    _apply(node_cluster, privileged, pod)
    phase, log = _outcome(node_cluster, privileged, "peer")
    assert phase == "Succeeded"
    assert log.split("\n")[:3] == ["Uid: 1000", "CapEff: 0000000000000000", "CapBnd: 0000000000004000"]


def _gang():
    """Return the Job of a training attempt with the probe in place of the trainer."""
    job = _without_owner(job_children(changed(SETTINGS, allow_host_network=True), **SPEC)["train"])
    pod = job["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 0
    del pod["volumes"]
    (container,) = pod["containers"]
    container |= {"image": PROBE, "imagePullPolicy": "Never", "args": ["serve", f":{PORT}", "hello from the gang"]}
    del container["command"], container["volumeMounts"]
    return job


def _peer(gang, *arguments):
    """Return a pod as those of the gang that claims no port, and runs the probe to its end."""
    spec = copy.deepcopy(gang["spec"]["template"]["spec"])
    (container,) = spec["containers"]
    container["args"] = list(arguments)
    del container["ports"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "peer"}, "spec": spec}


def _without_owner(manifest):
    """Return the manifest for any namespace: the garbage collector removes what has an owner that is not there."""
    metadata = {name: manifest["metadata"][name] for name in ("name", "labels")}
    return copy.deepcopy(manifest) | {"metadata": metadata}


def _apply(cluster, namespace, *manifests):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    applied = cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
    assert applied.returncode == 0, applied.stderr


def _pods(cluster, namespace):
    return cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods").body["items"]


def _running(cluster, namespace):
    return next((pod for pod in _pods(cluster, namespace) if pod["status"]["phase"] == "Running"), None)


def _unschedulable(cluster, namespace):
    conditions = [found for pod in _pods(cluster, namespace) for found in pod["status"].get("conditions", ())]
    return next((found.get("message") for found in conditions if found.get("reason") == "Unschedulable"), None)


def _outcome(cluster, namespace, name):
    def phase():
        found = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}").body["status"].get("phase")
        return found if found in {"Succeeded", "Failed"} else None

    ended = until(phase, seconds=60, what=f"the end of pod {name}")
    return ended, cluster.kubectl("logs", "-n", namespace, name).stdout.strip()
