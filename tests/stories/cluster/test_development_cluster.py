"""The development cluster itself, in node mode: pods run on it as on any Kubernetes, and nothing else of the machine is reached."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cluster import processes
from cluster.development import PACKAGES
from waiting import until

COMMAND = Path(__file__).parents[3] / "dev/cluster/cluster"
PROBE = "dev.local/probe:1"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def test_the_node_is_ready(node_cluster):
    node = node_cluster.request("GET", "/api/v1/nodes/dev-node").body
    conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"


def test_a_pod_under_pod_security_restricted_runs_with_no_rights(node_cluster, namespace):
    phase, log = _run(node_cluster, namespace, "status")
    assert (phase, log.split("\n")) == (
        "Succeeded",
        ["Uid: 1000", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"],
    )


@pytest.mark.parametrize(
    "place", [pytest.param("/x", id="its root"), pytest.param(f"{PACKAGES}/x", id="a mount of the host")]
)
def test_a_pod_cannot_write_to(node_cluster, namespace, place):
    phase, log = _run(node_cluster, namespace, "write", place, "text")
    assert (phase, log) == ("Failed", f"open {place}: read-only file system")


def test_a_container_sees_the_hosts_python_environment_with_no_word_in_its_manifest(node_cluster, namespace):
    _, log = _run(node_cluster, namespace, "list", PACKAGES)
    assert "pytest" in log.split()


def test_the_name_of_a_headless_service_resolves_to_its_pod(node_cluster, namespace):
    address = _serve(node_cluster, namespace, headless=True)
    _, log = _run(node_cluster, namespace, "resolve", f"server.{namespace}.svc.cluster.local")
    assert log == address


def test_a_service_address_answers(node_cluster, namespace):
    _serve(node_cluster, namespace, headless=False)
    _, log = _run(node_cluster, namespace, "get", f"http://server.{namespace}.svc:80/")
    assert log == "hello from the server"


def test_a_claim_is_shared_by_two_pods(node_cluster, namespace, tmp_path):
    node_cluster.share("demo", tmp_path / "claim", namespace=namespace)
    _apply(node_cluster, _pod(namespace, "reader", "read", "/claim/note", claim="demo"))
    assert _run(node_cluster, namespace, "write", "/claim/note", "from the writer", claim="demo") == (
        "Succeeded",
        "written",
    )
    assert _outcome(node_cluster, namespace, "reader") == ("Succeeded", "from the writer")
    assert (tmp_path / "claim" / "note").read_text() == "from the writer"


def test_a_pod_reaches_the_api_server_by_its_service(node_cluster, namespace):
    assert _run(node_cluster, namespace, "connect", "kubernetes.default.svc.cluster.local:443")[1] == "connected"


def test_a_pod_reaches_nothing_outside_this_machine(node_cluster, namespace):
    phase, log = _run(node_cluster, namespace, "connect", "203.0.113.1:443")  # an address for documentation, nobody's
    assert (phase, log) == ("Failed", "dial tcp 203.0.113.1:443: connect: connection refused")


def test_a_command_runs_in_a_pod(node_cluster, namespace):
    _serve(node_cluster, namespace, headless=True)
    done = node_cluster.kubectl("exec", "-n", namespace, "server", "--", "/probe", "list", "/opt/tuneloop")
    assert (done.returncode, done.stdout) == (0, "site-packages src\n")


def test_the_node_claims_gpus(node_cluster):
    assert node_cluster.request("GET", "/api/v1/nodes/dev-node").body["status"]["allocatable"]["nvidia.com/gpu"] == "4"


def test_requests_are_in_the_audit_log(node_cluster, namespace):
    users = {
        json.loads(line)["user"]["username"]
        for line in node_cluster.audit_log.read_text().splitlines()
        if f"/namespaces/{namespace}/serviceaccounts" in line
    }
    assert "admin" in users


def test_pods_outlive_their_api_server_and_it_comes_back_with_its_data(node_cluster, namespace):
    _serve(node_cluster, namespace, headless=False)
    before = node_cluster.request("GET", f"/api/v1/namespaces/{namespace}/services/server").body
    address = f"http://{before['spec']['clusterIP']}/"
    until(
        lambda: _curl(address), seconds=20, what="an answer of the server"
    )  # the rules of a new Service follow its pod's readiness
    node_cluster.plane.stop_api_server()
    try:
        with pytest.raises(ConnectionError):
            node_cluster.request("GET", "/readyz")
        assert _curl(address) == "hello from the server"
    finally:
        node_cluster.plane.start_api_server()
    assert node_cluster.request("GET", f"/api/v1/namespaces/{namespace}/services/server").body == before
    assert _run(node_cluster, namespace, "status")[0] == "Succeeded"


def test_up_again_does_nothing(node_cluster):
    before = {(program.name, program.pid) for program in processes.recorded(node_cluster.state)}
    node_cluster.up()
    assert {(program.name, program.pid) for program in processes.recorded(node_cluster.state)} == before


def test_a_second_node_cluster_is_refused_and_the_first_named(node_cluster):
    command = [COMMAND, "up", "--node", "--state", node_cluster.state.with_name("tuneloop-second")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"another node cluster is up on this machine, in {node_cluster.state}" in done.stderr
    assert all(program.alive for program in processes.recorded(node_cluster.state))


def test_status_shows_every_program(node_cluster):
    done = subprocess.run(
        [COMMAND, "status", "--state", node_cluster.state], capture_output=True, text=True, check=False
    )
    names = {line.split()[0] for line in done.stdout.splitlines() if "MiB" in line}
    assert names == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy", "coredns"}  # fmt: skip


def test_what_must_be_gone_at_the_end_is_found_while_it_runs(node_cluster, namespace, traces):
    """The fixture asserts after `down` that nothing is left. This test shows that it would find each trace."""
    _serve(node_cluster, namespace, headless=True)
    assert [kind for kind, found in traces().items() if not found] == []


def _pod(namespace, name, *arguments, claim=None, labels=None):
    container = {"name": "main", "image": PROBE, "imagePullPolicy": "Never", "args": list(arguments)}
    container["securityContext"] = RESTRICTED
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if claim:
        spec["volumes"] = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}]
        container["volumeMounts"] = [{"name": "claim", "mountPath": "/claim"}]
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _run(cluster, namespace, *arguments, claim=None):
    """Run the probe in a restricted pod; return the pod's phase and what it printed."""
    _apply(cluster, _pod(namespace, "probe", *arguments, claim=claim))
    return _outcome(cluster, namespace, "probe")


def _outcome(cluster, namespace, name):
    def ended():
        phase = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}").body["status"].get("phase")
        return phase if phase in {"Succeeded", "Failed"} else None

    phase = until(ended, seconds=60, what=f"the end of pod {name}")
    return phase, cluster.kubectl("logs", "-n", namespace, name).stdout.strip()


def _serve(cluster, namespace, *, headless):
    """Start a server behind the Service `server`; return its pod's address."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": namespace}}
    service["spec"] = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]}
    if headless:
        service["spec"]["clusterIP"] = "None"
    pod = _pod(namespace, "server", "serve", ":8080", "hello from the server", labels={"app": "server"})
    _apply(cluster, service, pod)
    ready = cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=120s", "pod/server")
    assert ready.returncode == 0, ready.stderr
    return cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods/server").body["status"]["podIP"]


def _curl(address):
    command = ["curl", "--silent", "--max-time", "5", address]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _apply(cluster, *manifests):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    applied = cluster.kubectl("apply", "-f", "-", stdin=text)
    assert applied.returncode == 0, applied.stderr
