"""The operator under the account of the chart, doing all that it can do: no right is missing, and none is there for nothing."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cluster.control_plane import ControlPlane
from cluster_audit import Asked, asked
from cluster_tier import fresh_namespace, install_crds
from fault_proxy.credentials import write_kubeconfig
from helm_chart import Right, environment_of, operator_pod, reviewed_rights
from kubeconfigs import client_of
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_scripts import Until, before_the_end, by_attempt, fail, succeed
from pod_status_patcher import PodStatusPatcher
from served_models import deploy, deployment_status
from waiting import until

from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.names import token_audience

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tuneloop_operator.cluster import Manifest

ACCOUNT = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
NOT_ASKED = {
    # an admission plugin looks these up, and no request shows them
    *(
        Right("watched", "tuneloop.dev", f"{kind}/finalizers", "update")
        for kind in ("finetunejobs", "modeldeployments")
    ),
}
"""Rights that no request of this test needs."""
NO_ROOM = {"scheduling": {"priorityClassName": "no-room"}, "failurePolicy": {"startDeadline": "5s"}}
"""Fields of a job whose training pods a quota refuses."""
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}


class Account(NamedTuple):
    """The chart's account, without the rest of the chart."""

    plane: ControlPlane
    kubeconfig: Path
    home: str
    """The namespace of the release."""
    team: str
    """The watched namespace; it admits restricted pods only."""
    settings: dict[str, str]
    """What the chart tells the operator of names that its rights are limited to."""

    @property
    def username(self) -> str:
        return f"system:serviceaccount:{self.home}:tuneloop"


class Work(NamedTuple):
    """What was done under the account."""

    asked: Asked
    logs: str
    client: NamespaceClient


@pytest.fixture(scope="module")
def plane(control_plane, tmp_path_factory):
    """A control plane that guards owners; `control_plane` says whether there can be one."""
    with ControlPlane(tmp_path_factory.mktemp("rights") / "plane", audit=True, guards_owners=True) as own:
        install_crds(own)
        yield own


def try_child(client: httpx.Client, namespace: str, *, kind: str, name: str = "a", uid: str = "a") -> httpx.Response:
    """Try to make a child of an object of ours, which need not exist."""
    owner = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": True}
    child = {"metadata": {"name": "child", "ownerReferences": [owner]}}
    return client.post(f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", json=child)


@pytest.fixture(scope="module")
def account(plane, helm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("account")
    with fresh_namespace(plane) as home, fresh_namespace(plane, labels=RESTRICTED) as team:
        rendered = helm.rendered({"watchNamespaces": [team]}, namespace=home)
        kept = [
            manifest
            for manifest in rendered
            if manifest["kind"] in ACCOUNT and "aggregate" not in json.dumps(manifest["metadata"])
        ]
        for manifest in kept:
            if manifest["kind"] == "ServiceAccount":
                manifest["metadata"]["namespace"] = home
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": kept})
        applied = plane.kubectl("apply", "-f", "-", stdin=listed)
        assert applied.returncode == 0, applied.stderr
        environment = environment_of(operator_pod(rendered))
        names = {name: environment[f"TUNELOOP_{name.upper()}"] for name in ("lease_name", "progress_service")}
        kubeconfig = account_of(plane, home, folder / "kubeconfig")
        with client_of(kubeconfig) as client:
            for kind in ("FineTuneJob", "ModelDeployment"):  # the guard hears late of kinds that are new
                until(lambda kind=kind: try_child(client, team, kind=kind).status_code == 201, seconds=60, what=kind)
        yield Account(plane, kubeconfig, home, team, names)


@pytest.fixture(scope="module")
def poor(account, tmp_path_factory):
    """Return a client that may do all that stands in the requests, and no more."""
    plane, namespace = account.plane, account.team
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}
        for right in reviewed_rights().keys() - NOT_ASKED
        if right.where == "watched"
    ]
    subject = {"kind": "ServiceAccount", "name": "tuneloop", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "poor"}
    for where, body in (
        (f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "tuneloop"}}),
        (f"{path}/roles", {"metadata": {"name": "poor"}, "rules": rules}),
        (f"{path}/rolebindings", {"metadata": {"name": "poor"}, "roleRef": role, "subjects": [subject]}),
    ):
        assert plane.request("POST", where, body).status == 201
    with client_of(account_of(plane, namespace, tmp_path_factory.mktemp("poor") / "kubeconfig")) as client:
        yield client


def account_of(plane: ControlPlane, namespace: str, path: Path) -> Path:
    """Write the kubeconfig of the account `tuneloop` of a namespace."""
    token = plane.kubectl("create", "token", "tuneloop", "-n", namespace, "--duration=1h")
    assert token.returncode == 0, token.stderr
    authority = plane.state / "pki" / "ca.crt"
    write_kubeconfig(path, server_url=plane.server_url, authority=authority, token=token.stdout.strip())
    return path


def leave_no_room(account: Account) -> None:
    """Let a quota refuse the pods of one PriorityClass, once it counts."""
    plane, path = account.plane, f"/api/v1/namespaces/{account.team}/resourcequotas"
    scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["no-room"]}
    quota = {"hard": {"pods": "0"}, "scopeSelector": {"matchExpressions": [scope]}}
    for where, body in (
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "no-room"}, "value": 1}),
        (path, {"metadata": {"name": "few"}, "spec": quota}),
    ):
        assert plane.request("POST", where, body).status == 201
    until(lambda: plane.request("GET", f"{path}/few").body.get("status", {}).get("hard"), seconds=60, what="a quota")


@pytest.fixture(scope="module")
def work(account, tmp_path_factory):
    """Let two replicas do under the account all that an operator does, one after the other."""
    folder, go = tmp_path_factory.mktemp("work"), threading.Event()
    client = NamespaceClient(account.plane, account.team)
    leave_no_room(account)
    scripts = {
        "again/train": by_attempt(fail(FailureClass.STORAGE), succeed),
        "bad/train": fail(FailureClass.DATA),
        "paused/train": before_the_end(succeed, Until(go)),
    }
    settings = account.settings | {"pod_namespace": account.home, "namespaces": account.team}
    with (
        PodStatusPatcher(account.plane, namespace=account.team, scripts=scripts),
        RunningOperator(None, folder, pod="a", kubeconfig=account.kubeconfig, **settings) as first,
        RunningOperator(None, folder, pod="b", kubeconfig=account.kubeconfig, **settings) as second,
    ):
        until(lambda: first.leads or second.leads, seconds=60, what="a leader")
        leader, other = (first, second) if first.leads else (second, first)
        other.wait_ready()
        client.create("Job", {"metadata": {"name": "taken-1-prepare"}, "spec": {"suspend": True, "template": POD}})
        client.create("ConfigMap", {"metadata": {"name": "taken-2-prepare"}})
        for name in ("good", "again", "bad", "paused", "taken-1", "taken-2"):
            client.submit(name)
        client.submit("refused", **NO_ROOM)
        client.submit("brief", ttlSecondsAfterFinished=0)
        deploy(client, "api", model="pvc://models/one", replicas=2)
        wait_until_served(client, "one")
        client.wait_for_phase("paused", "Running")
        assert post_progress(leader, client, "paused") < 300
        client.patch("FineTuneJob", "paused", {"spec": {"suspend": True}})
        client.wait_for_phase("paused", "Suspended")
        for name, phase in (("good", "Succeeded"), ("again", "Succeeded"), ("bad", "Failed"), ("refused", "Failed")):
            client.wait_for_phase(name, phase)
        until(lambda: client.get("FineTuneJob", "brief") is None, seconds=60, what="the end of a brief job")
        for name in ("taken-1", "taken-2"):
            until(lambda name=name: client.condition(name, "NameConflict"), seconds=60, what=f"a conflict of {name}")
        client.delete("FineTuneJob", "bad")
        leader.terminate()
        other.wait_leading()
        go.set()
        client.patch("FineTuneJob", "paused", {"spec": {"suspend": False}})
        serve_another(client)
        roll_out(client)
        retrain(client)
        assert poll_as_router(other, client, "routed") == 200
        client.wait_for_phase("paused", "Succeeded")
        slice_ = f"/apis/discovery.k8s.io/v1/namespaces/{account.home}/endpointslices/tuneloop-progress"
        until(
            lambda: account.plane.request("GET", slice_).body["endpoints"][0]["targetRef"]["name"] == other.pod,
            seconds=30,
            what="the address of the new leader",
        )
        found = asked(
            account.plane.audit_log,
            account=account.username,
            namespaces=[account.team],
            release_namespace=account.home,
        )
        yield Work(found, first.log + second.log, client)


def serve_another(client: NamespaceClient) -> None:
    """Let a new revision replace the old one, by an autoscaler."""
    limits = {"replicas": None, "autoscaling": {"min": 2, "max": 3}}
    client.patch("ModelDeployment", "api", {"spec": {"model": {"uri": "pvc://models/another"}} | limits})
    wait_until_served(client, "another")
    until(lambda: len(client.all("Deployment")) == 1, seconds=60, what="one revision")


def roll_out(client: NamespaceClient) -> None:
    """Let a third revision replace that one, whose servers go while its objects stay, without the autoscaler."""
    before = deployment_status(client, "api")["stable"]["revision"]
    spec = {"model": {"uri": "pvc://models/third"}, "rollout": {"strategy": "Recreate"}}
    spec |= {"replicas": 2, "autoscaling": None}
    client.patch("ModelDeployment", "api", {"spec": spec})
    wait_until_served(client, "third")
    until(
        lambda: client.stored("Deployment", f"api-{before}")["spec"]["replicas"] == 0, seconds=60, what="no old server"
    )


def retrain(client: NamespaceClient) -> None:
    """Let the model be trained again by hand, as the job `good` was."""
    spec = {
        "retraining": {"enabled": True, "jobTemplateRef": {"name": "good"}},
        "rollout": {"rollback": {"baking": "0s"}},
    }
    client.patch("ModelDeployment", "api", {"spec": spec})
    until(lambda: deployment_status(client, "api").get("retraining"), seconds=60, what="a loop")
    client.patch("ModelDeployment", "api", {"metadata": {"annotations": {"tuneloop.dev/retrain": "1"}}})
    history = until(
        lambda: deployment_status(client, "api").get("retraining", {}).get("history"), seconds=60, what="a run"
    )
    until(lambda: client.get("FineTuneJob", history[0]["job"]), seconds=60, what="the job of the run")


def poll_as_router(operator: RunningOperator, client: NamespaceClient, name: str) -> int:
    """Create a deployment with routers, ask for its split with the token of its router's pod, and return the answer's status."""
    deploy(client, name, model="pvc://models/one", rollout={})

    def router() -> Manifest | None:
        pods = (pod["metadata"] for pod in client.all("Pod"))
        return next((pod for pod in pods if pod["labels"].get("tuneloop.dev/component") == "router"), None)

    pod = until(router, seconds=60, what="a router")
    until(lambda: deployment_status(client, name).get("rollout"), seconds=60, what="a split")
    return operator.poll_split(client.namespace, name, token=token_of(client, pod, kind="ModelDeployment", name=name))


def wait_until_served(client: NamespaceClient, model: str) -> None:
    def is_served() -> bool:
        status = deployment_status(client, "api")
        return status.get("phase") == "Ready" and status["stable"]["uri"] == f"pvc://models/{model}"

    until(is_served, seconds=60, what=model)


def token_of(client: NamespaceClient, pod: Manifest, *, kind: str, name: str) -> str:
    """Return the token that a pod has for what belongs to this object. pod: its metadata."""
    uid = client.stored(kind, name)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
    spec = {"audiences": [token_audience(uid)], "expirationSeconds": 600, "boundObjectRef": bound}
    path = f"/api/v1/namespaces/{client.namespace}/serviceaccounts/default/token"
    token: str = client.plane.request("POST", path, {"spec": spec}).body["status"]["token"]
    return token


def post_progress(operator: RunningOperator, client: NamespaceClient, name: str) -> int:
    """Post as the first pod of a gang does, with its own token; return the answer's status."""
    pod = next(pod["metadata"] for pod in client.all("Pod") if pod["metadata"]["name"].startswith(f"{name}-a1-0"))
    token = token_of(client, pod, kind="FineTuneJob", name=name)
    message = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}
    url = f"https://localhost:{operator.progress_port}/v1/namespaces/{client.namespace}/finetunejobs/{name}/progress"
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, data=json.dumps(message).encode(), headers=headers)
    tls = ssl.create_default_context(cafile=str(operator.certificate / "ca.crt"))
    with urllib.request.urlopen(request, context=tls, timeout=10) as reply:
        return int(reply.status)


def test_nothing_that_it_needs_is_refused(work):
    assert work.asked.refused == ()
    assert "unexpected error" not in work.logs


def test_it_uses_no_right_that_is_not_reviewed(work):
    assert work.asked.rights - set(reviewed_rights()) == set()


def test_it_uses_each_right_that_it_has(work):
    assert set(reviewed_rights()) - work.asked.rights == NOT_ASKED


def test_a_job_whose_pods_a_quota_refuses_says_so_in_the_api_servers_words(work):
    failure = work.client.status("refused")["failure"]
    assert failure["class"] == "StartDeadline"
    assert "exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0" in failure["message"]


@pytest.mark.parametrize(("kind", "name"), [("FineTuneJob", "good"), ("ModelDeployment", "api")])
def test_without_the_right_that_no_request_shows_no_child_can_be_made(account, poor, work, kind, name):
    uid = work.client.get(kind, name)["metadata"]["uid"]
    with client_of(account.kubeconfig) as client:
        replies = [try_child(caller, account.team, kind=kind, name=name, uid=uid) for caller in (client, poor)]
    assert [reply.status_code for reply in replies] == [201, 403]
    assert "blockOwnerDeletion" in replies[1].json()["message"]


def test_a_namespace_that_enforces_restricted_admits_every_pod_of_ours(work):
    events = work.client.plane.request("GET", f"/apis/events.k8s.io/v1/namespaces/{work.client.namespace}/events").body
    refused = [event["note"] for event in events["items"] if "violates PodSecurity" in event.get("note", "")]
    kinds = {pod["metadata"]["labels"].get("tuneloop.dev/stage", "serve") for pod in work.client.all("Pod")}
    assert (refused, kinds) == ([], {"prepare", "train", "export", "serve"})
