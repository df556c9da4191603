"""What the operator's account of an installed chart may do on a real API server: exactly the reviewed list, and its work with it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import httpx
import pytest
from cluster.control_plane import ControlPlane
from helm_chart import CHART, Right, reviewed_rights
from kubeconfigs import account_kubeconfig, client_of
from operator_process import RunningOperator
from waiting import until

HOME = "tuneloop-system"
TEAM, STRANGER = "team-a", "stranger"
JOB_PATH = f"/apis/tuneloop.dev/v1alpha1/namespaces/{TEAM}/finetunejobs/reviews"
PREPARE_PATH = f"/apis/batch/v1/namespaces/{TEAM}/jobs/reviews-prepare"
SLICE_PATH = f"/apis/discovery.k8s.io/v1/namespaces/{HOME}/endpointslices/tuneloop-progress"
EVERYBODYS = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
"""What each account may ask about itself."""
JOB = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "FineTuneJob",
    "metadata": {"name": "reviews"},
    "spec": {
        "model": {"uri": "hf://FacebookAI/roberta-base"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
        "storage": {"claim": "models"},
    },
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "none"}]},
}
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": []}

# Method, path and body of what must be refused in every scope; {ns} is a watched namespace.
FORBIDDEN = [
    ("GET", "/api/v1/secrets", None),
    ("GET", "/api/v1/namespaces/{ns}/secrets", None),
    ("GET", "/api/v1/namespaces/{ns}/secrets/a", None),
    ("GET", "/api/v1/namespaces/tuneloop-system/secrets/tuneloop-progress-tls", None),
    ("GET", "/api/v1/nodes", None),
    ("GET", "/api/v1/namespaces", None),
    ("GET", "/api/v1/persistentvolumes", None),
    ("GET", "/api/v1/namespaces/{ns}/persistentvolumeclaims", None),
    ("GET", "/api/v1/namespaces/{ns}/serviceaccounts", None),
    ("POST", "/api/v1/namespaces/{ns}/serviceaccounts/default/token", {}),
    ("POST", "/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "a"}}),
    ("POST", "/api/v1/namespaces/{ns}/pods", POD),
    ("GET", "/api/v1/namespaces/{ns}/pods/a", None),
    ("DELETE", "/api/v1/namespaces/{ns}/pods/a", None),
    ("POST", "/api/v1/namespaces/{ns}/pods/a/exec?command=id", None),
    ("GET", "/api/v1/namespaces/{ns}/pods/a/log", None),
    ("GET", "/api/v1/namespaces/{ns}/pods/a/proxy/", None),
    ("POST", "/api/v1/namespaces/{ns}/pods/a/eviction", {"metadata": {"name": "a"}}),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles", ROLE),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings", {"metadata": {"name": "a"}}),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "a"}}),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {"metadata": {"name": "a"}}),
    ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", None),
    ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/finetunejobs.tuneloop.dev", None),
    ("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {"metadata": {"name": "a"}}),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", {"metadata": {"name": "a"}}),
    ("PUT", "/apis/tuneloop.dev/v1alpha1/namespaces/{ns}/finetunejobs/a", JOB),
    ("DELETE", "/apis/tuneloop.dev/v1alpha1/namespaces/{ns}/modeldeployments/a", None),
    ("DELETE", "/apis/batch/v1/namespaces/{ns}/jobs", None),
    ("DELETE", "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/a", None),
    ("POST", "/apis/apps/v1/namespaces/{ns}/daemonsets", {"metadata": {"name": "a"}}),
    ("POST", "/apis/batch/v1/namespaces/{ns}/cronjobs", {"metadata": {"name": "a"}}),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/tuneloop-system/leases", None),
    ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/tuneloop-system/leases/tuneloop-operator", None),
    ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager", None),
    ("PATCH", "/apis/discovery.k8s.io/v1/namespaces/tuneloop-system/endpointslices/tuneloop-metrics", {}),
    ("GET", "/metrics", None),
]  # fmt: skip
# The same verbs that are allowed in a watched namespace, in one that is not.
NOT_WATCHED = [
    ("GET", f"/apis/tuneloop.dev/v1alpha1/namespaces/{STRANGER}/finetunejobs"),
    ("GET", f"/api/v1/namespaces/{STRANGER}/pods"),
    ("GET", f"/api/v1/namespaces/{STRANGER}/configmaps"),
    ("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"),
    ("POST", f"/apis/batch/v1/namespaces/{STRANGER}/jobs"),
    ("DELETE", f"/apis/apps/v1/namespaces/{STRANGER}/deployments/a"),
    ("POST", f"/apis/events.k8s.io/v1/namespaces/{STRANGER}/events"),
    ("GET", "/apis/tuneloop.dev/v1alpha1/finetunejobs"),
    ("GET", "/api/v1/pods"),
]


class Installed(NamedTuple):
    """A chart on a control plane, and its operator's account."""

    plane: ControlPlane
    kubeconfig: object
    client: httpx.Client
    watched: str
    """One of the namespaces that are watched."""
    is_clusterwide: bool


@pytest.fixture(scope="module")
def plane(control_plane, tmp_path_factory):
    """A control plane for both scopes, one after the other; `control_plane` says whether there can be one."""
    with ControlPlane(tmp_path_factory.mktemp("rights") / "plane", audit=True) as own:
        for name in (HOME, TEAM, STRANGER):
            own.kubectl("create", "namespace", name)
        yield own


@pytest.fixture(scope="module", params=["namespaced", "cluster"])
def installed(request, plane, helm, tmp_path_factory):
    """The chart, installed in one scope, and taken away again."""
    clusterwide = request.param == "cluster"
    values = {"replicas": 0, "rbac": {"scope": request.param}, "watchNamespaces": [] if clusterwide else [TEAM]}
    cluster_helm = replace(helm, kubeconfig=plane.kubeconfig)
    cluster_helm.must("install", "tuneloop", str(CHART), "-n", HOME, "--wait", values=values)
    kubeconfig = account_kubeconfig(
        plane, tmp_path_factory.mktemp(request.param) / "operator.kubeconfig", namespace=HOME, account="tuneloop"
    )
    with client_of(kubeconfig) as client:
        yield Installed(plane, kubeconfig, client, TEAM, clusterwide)
    cluster_helm.must("uninstall", "tuneloop", "-n", HOME, "--wait")
    for path in (JOB_PATH, SLICE_PATH, PREPARE_PATH):  # the garbage collector looks for new kinds every 30 s only
        plane.request("DELETE", path, {"propagationPolicy": "Background"})
        until(lambda path=path: plane.request("GET", path).status == 404, seconds=30, what=f"no {path}")


def test_the_account_has_exactly_the_reviewed_rights(installed):
    watched = {right[1:] for right in reviewed_rights() if right.where == "watched"}
    release = {right[1:] for right in reviewed_rights() if right.where == "release"}
    everywhere = {right[1:] for right in reviewed_rights() if right.where == "cluster"}
    clusterwide = watched if installed.is_clusterwide else set()
    assert _rights(installed, TEAM) == everywhere | watched
    assert _rights(installed, HOME) == everywhere | release | clusterwide
    assert _rights(installed, STRANGER) == everywhere | clusterwide


@pytest.mark.parametrize(("method", "path", "body"), FORBIDDEN, ids=[f"{case[0]} {case[1]}" for case in FORBIDDEN])
def test_the_account_is_refused(installed, method, path, body):
    assert _status(installed, method, path.replace("{ns}", installed.watched), body) == 403


@pytest.mark.parametrize(("method", "path"), NOT_WATCHED, ids=[" ".join(case) for case in NOT_WATCHED])
def test_a_namespace_is_out_of_reach_unless_it_is_watched(installed, method, path):
    reply = _answer(installed, method, path, {})
    # in scope cluster the admission policies have their say, which test_admission_policy.py is about
    is_without_right = reply.status_code == 403 and "ValidatingAdmissionPolicy" not in reply.json()["message"]
    assert is_without_right is not installed.is_clusterwide


def test_the_account_cannot_act_as_another(installed):
    reply = installed.client.get("/api/v1/nodes", headers={"Impersonate-User": "system:admin"})
    assert reply.status_code == 403
    assert "cannot impersonate" in reply.json()["message"]


def test_the_operator_works_with_this_account_and_asks_for_nothing_more(installed, tmp_path):
    watched = "" if installed.is_clusterwide else TEAM
    with RunningOperator(
        None, tmp_path, kubeconfig=installed.kubeconfig, pod_namespace=HOME, namespaces=watched
    ) as operator:
        operator.wait_ready().wait_leading()
        applied = installed.plane.request("POST", JOB_PATH.rpartition("/")[0], JOB)
        assert applied.status == 201, applied.body
        for path in (PREPARE_PATH, SLICE_PATH):
            until(lambda path=path: installed.plane.request("GET", path).status == 200, seconds=30, what=path)
        until(lambda: _phase(installed.plane) == "Preparing", seconds=30, what="the status of the job")
        assert operator.terminate() == 0
    assert _refused_requests(installed.plane) == []


def _rights(installed, namespace):
    """Return what the authorizer says that the account may do in a namespace, as (group, resource, verb)."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    status = installed.client.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json=body).json()["status"]
    assert not status["incomplete"]
    return {
        right[1:]
        for rule in status["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (right := Right("", group, resource, verb)).resource not in EVERYBODYS
    }


def _status(installed, method, path, body):
    return _answer(installed, method, path, body).status_code


def _answer(installed, method, path, body):
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    return installed.client.request(method, path, json=body, headers=headers)


def _phase(plane):
    reply = plane.request("GET", JOB_PATH)
    return (reply.body.get("status") or {}).get("phase")


def _refused_requests(plane):
    """Return what the operator's process (known by its user agent) was refused."""
    lines = (json.loads(line) for line in plane.audit_log.read_text().splitlines())
    return [
        f"{line['verb']} {line['requestURI']}"
        for line in lines
        if line["user"]["username"] == f"system:serviceaccount:{HOME}:tuneloop"
        and line.get("responseStatus", {}).get("code") in {401, 403}
        and not line.get("userAgent", "").startswith("python-httpx")
    ]
