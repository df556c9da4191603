"""Tuneloop in one namespace, installed by somebody who has rights in that namespace alone: the operator works, and pods post their progress."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from helm_chart import CHART, of_kind
from kubeconfigs import account_kubeconfig, client_of
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from waiting import until

from tuneloop_api.contract.progress import progress_path
from tuneloop_api.wire.names import token_audience

VALUES = {
    "replicas": 0,
    "crds": {"install": False},
    "rbac": {"aggregateUserRoles": False},
    "progress": {"authentication": "JWKS"},
    "admissionPolicy": {"create": "never"},
}
MESSAGE = {"version": 1, "stage": "prepare", "attempt": 0, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}


@pytest.fixture
def owner(custom_resources, namespace, tmp_path):
    """The kubeconfig of an account that may do everything in the namespace, and nothing elsewhere."""
    plane = custom_resources
    every = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    group = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    assert plane.request("POST", f"{group}/roles", {"metadata": {"name": "owner"}, "rules": [every]}).status == 201
    binding = {
        "metadata": {"name": "owner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "owner"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    assert plane.request("POST", f"{group}/rolebindings", binding).status == 201
    return account_kubeconfig(plane, tmp_path / "owner.kubeconfig", namespace=namespace, account="default")


@pytest.fixture
def operator(custom_resources, namespace, owner, helm, tmp_path):
    """The operator's process with the account of a chart that the owner of the namespace installed."""
    installer = replace(helm, kubeconfig=owner)
    installer.must("install", "tuneloop", str(CHART), "-n", namespace, "--wait", values=VALUES)
    account = account_kubeconfig(
        custom_resources, tmp_path / "operator.kubeconfig", namespace=namespace, account="tuneloop"
    )
    settings = {"pod_namespace": namespace, "namespaces": namespace, "progress_authentication": "JWKS"}
    with RunningOperator(None, tmp_path, kubeconfig=account, **settings) as running:
        yield running.wait_ready().wait_leading()
    installer.must("uninstall", "tuneloop", "-n", namespace)


def token_of(plane, namespace, pod, *, audience):
    """Return a token as the kubelet projects it into a pod."""
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    spec = {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    reply = plane.request("POST", path, {"spec": spec})
    assert reply.status == 201, reply.body
    return reply.body["status"]["token"]


def posted(operator, namespace, token):
    """Return the status of a post to the operator's port."""
    tls = ssl.create_default_context(cafile=str(operator.certificate / "ca.crt"))
    url = f"https://localhost:{operator.progress_port}{progress_path(namespace, 'reviews')}"
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, data=json.dumps(MESSAGE).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, context=tls, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_pod_posts_its_progress_to_an_operator_without_rights_in_the_cluster(
    custom_resources, namespace, owner, operator
):
    plane, place = custom_resources, NamespaceClient(custom_resources, namespace)
    job = place.submit()
    place.stored("Job", "reviews-prepare")
    (pod,) = until(lambda: place.all("Pod"), seconds=30, what="the pod of the prepare stage")
    audience = token_audience(job["metadata"]["uid"])
    good = token_of(plane, namespace, pod, audience=audience)

    until(lambda: posted(operator, namespace, good) == 202, seconds=20, what="a post that is taken")
    assert posted(operator, namespace, token_of(plane, namespace, pod, audience="tuneloop.dev/other")) == 401
    assert posted(operator, namespace, good[:-8] + "AAAAAAAA") == 401
    place.delete("Pod", pod["metadata"]["name"])
    until(lambda: posted(operator, namespace, good) == 403, seconds=30, what="no word of a pod that is gone")

    with client_of(owner) as client:  # the operator's account has no more rights than this one
        assert client.get("/api/v1/nodes").status_code == 403
    assert operator.terminate() == 0
    assert "forbidden" not in operator.log
    assert (
        plane.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/" + namespace + ":tuneloop").status == 404
    )
    place.close()


def test_no_object_of_the_chart_is_of_the_cluster(custom_resources, helm):
    objects = helm.rendered(VALUES | {"replicas": 1}, namespace="team-a")
    of_cluster = kinds_of_cluster(custom_resources)
    assert "ClusterRole" in of_cluster
    assert {found["kind"] for found in objects} & of_cluster == set()
    assert {found["metadata"]["namespace"] for found in objects} == {"team-a"}
    assert len(of_kind(objects, "Role")) == 2


def kinds_of_cluster(plane):
    """Return the kinds of the API server that belong to no namespace."""
    kinds = set()
    groups = plane.request("GET", "/apis").body["groups"]
    for path in ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]:
        resources = plane.request("GET", path).body["resources"]
        kinds |= {found["kind"] for found in resources if not found["namespaced"] and "/" not in found["name"]}
    return kinds
