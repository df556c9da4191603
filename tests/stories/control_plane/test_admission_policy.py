"""What a thief of the operator's token gets from a real API server with the chart's admission policies, and what the operator gets.

The scope is cluster-wide, where RBAC alone would let the account make Jobs in every namespace. All requests of the account are dry runs.
"""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import httpx
import pytest
import yaml
from cluster.control_plane import ControlPlane
from cluster_tier import fresh_namespace
from helm_chart import CHART, ROOT, Helm
from kubeconfigs import account_kubeconfig, client_of
from stolen_token import (
    ATTEMPTS,
    AUTOSCALER,
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    GANG,
    JOB,
    LEASE,
    NETWORK_POLICY,
    NOT_EVEN_BESIDE_GANGS,
    SERVICE,
    SLICE,
)
from waiting import until

COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}
GOLDEN = [
    pytest.param(manifest, id=f"{file.stem}-{manifest['kind']}-{manifest['metadata']['name']}")
    for file in sorted((ROOT / "tests" / "golden" / "operator").glob("*.yaml"))
    for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    if manifest != GANG  # it needs a switch of the chart
]
POLICIES = {
    "children": CONFIG_MAP,
    "pods": JOB,
    "services": SERVICE,
    "networks": NETWORK_POLICY,
    "disruptions": BUDGET,
    "autoscalers": AUTOSCALER,
    "leader": LEASE,
}
"""Each policy, with an object that it refuses once its labels, its pods, its selector or its target are gone."""
DRY = {"dryRun": "All", "fieldManager": "tuneloop"}


class Thief(NamedTuple):
    """Somebody who holds the operator's token, and the control plane with the operator's release."""

    client: httpx.Client
    plane: ControlPlane
    helm: Helm
    home: str
    """The release namespace."""
    team: str
    """A namespace with jobs."""
    owners: dict[str, str]
    """For the uid of each owner in the golden files, that of an owner in this cluster: the garbage collector removes what has none."""

    def namespace(self, name: str) -> str:
        """Return the namespace that a test calls so."""
        return {"home": self.home, "team": self.team}.get(name, name)


@pytest.fixture(scope="module")
def thief(custom_resources, helm, tmp_path_factory):
    with _stolen(custom_resources, helm, tmp_path_factory.mktemp("thief"), children={}) as found:
        yield found


@pytest.fixture(scope="module")
def thief_near_infiniband(custom_resources, helm, tmp_path_factory):
    """A thief where the administrator allows the network of the node to training pods."""
    children = {"allow": {"hostNetwork": True}}
    with _stolen(custom_resources, helm, tmp_path_factory.mktemp("infiniband"), children=children) as found:
        yield found


@contextmanager
def _stolen(custom_resources, helm, folder, *, children):
    """Install the chart, and wait until its policies are in force: that takes the API server seconds."""
    cluster_helm = replace(helm, kubeconfig=custom_resources.kubeconfig)
    path = folder / "kubeconfig"
    values = {"replicas": 0, "rbac": {"scope": "cluster"}, "crds": {"install": False}, "children": children}
    values["admissionPolicy"] = {"csiDrivers": ["secrets-store.csi.k8s.io"]}
    with fresh_namespace(custom_resources) as home, fresh_namespace(custom_resources) as team:
        cluster_helm.must("install", "tuneloop", str(CHART), "-n", home, values=values)
        with client_of(account_kubeconfig(custom_resources, path, namespace=home, account="tuneloop")) as client:
            owners = dict(_owner(custom_resources, team, manifest) for manifest in (JOB, DEPLOYMENT))
            found = Thief(client, custom_resources, cluster_helm, home, team, owners)
            for policy, manifest in POLICIES.items():
                until(lambda p=policy, m=manifest: _refuses(found, p, m), seconds=60, what=f"the policy {policy}")
            yield found
        cluster_helm.must("uninstall", "tuneloop", "-n", home)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_a_thief_is_refused(thief, attempt):
    reply = _create(thief, attempt.manifest, namespace=attempt.namespace)
    assert reply.status_code == 403, reply.text
    assert attempt.message in reply.json()["message"]


@pytest.mark.parametrize("attempt", NOT_EVEN_BESIDE_GANGS, ids=lambda attempt: attempt.name)
def test_the_network_of_the_node_is_for_training_pods_where_it_is_allowed(thief_near_infiniband, attempt):
    assert _create(thief_near_infiniband, GANG).status_code == 201
    reply = _create(thief_near_infiniband, attempt.manifest, namespace=attempt.namespace)
    assert reply.status_code == 403, reply.text
    assert attempt.message in reply.json()["message"]


@pytest.mark.parametrize("manifest", GOLDEN)
def test_what_the_operator_makes_is_allowed(thief, manifest):
    reply = _create(thief, manifest)
    assert reply.status_code == 201, reply.text


@pytest.mark.parametrize("manifest", [LEASE, SLICE], ids=["Lease", "EndpointSlice"])
def test_what_the_leader_writes_is_allowed(thief, manifest):
    assert _create(thief, manifest, namespace="home").status_code == 201


def test_the_lease_that_names_the_release_of_a_namespace_is_allowed(thief):
    lease = LEASE | {"metadata": {"name": "owner.tuneloop.dev"}}
    assert _create(thief, lease, namespace="team").status_code == 201


@pytest.mark.parametrize(
    "manifest", [JOB, CONFIG_MAP, SERVICE, DEPLOYMENT, BUDGET, AUTOSCALER], ids=lambda manifest: manifest["kind"]
)
def test_an_object_of_somebody_else_is_neither_deleted_nor_taken_over(thief, manifest):
    foreign = copy.deepcopy(manifest)
    foreign["metadata"] = {"labels": {"app": "theirs"}}
    path = _stored(thief, foreign, name=f"theirs-{manifest['kind'].lower()}")
    refused = thief.client.delete(path, params={"dryRun": "All"})
    assert refused.status_code == 403
    assert "may delete only objects with our labels" in refused.json()["message"]
    if manifest["kind"] in {
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
    }:  # the others cannot be patched at all
        taken = _apply(thief, path, manifest)
        assert taken.status_code == 403
        assert "may change only objects that had the same" in taken.json()["message"]


@pytest.mark.parametrize(
    "manifest", [JOB, CONFIG_MAP, SERVICE, DEPLOYMENT, BUDGET, AUTOSCALER], ids=lambda manifest: manifest["kind"]
)
def test_the_operator_changes_and_deletes_its_own(thief, manifest):
    path = _stored(thief, manifest, name=f"ours-{manifest['kind'].lower()}")
    if manifest["kind"] in {"Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}:
        changed = _apply(thief, path, manifest)
        assert changed.status_code == 200, changed.text
    assert thief.client.delete(path, params={"dryRun": "All"}).status_code == 200


def test_labels_that_somebody_removed_are_put_back(thief):
    stripped = copy.deepcopy(SERVICE)
    del stripped["metadata"]["labels"]
    assert _apply(thief, _stored(thief, stripped, name="stripped"), SERVICE).status_code == 200


def test_a_service_with_an_address_of_somebody_elses_is_changed(thief):
    reachable = copy.deepcopy(SERVICE)
    reachable["spec"]["externalIPs"] = ["192.0.2.1"]
    assert _apply(thief, _stored(thief, reachable, name="reachable"), SERVICE).status_code == 200


def test_servers_whose_pods_somebody_else_changed_are_scaled(thief):
    foreign = copy.deepcopy(DEPLOYMENT)
    foreign["spec"]["template"]["spec"]["containers"].append({"name": "debugger", "image": "none"})
    path = _stored(thief, foreign, name="debugged")
    scaled = copy.deepcopy(DEPLOYMENT)
    scaled["spec"]["replicas"] = 7
    assert _apply(thief, path, scaled).status_code == 200
    scaled["spec"]["template"]["spec"]["automountServiceAccountToken"] = True
    assert _apply(thief, path, scaled).status_code == 403


def test_other_accounts_are_free(thief):
    path = COLLECTIONS["ConfigMap"].format(thief.team)
    reply = thief.plane.request("POST", path, {"metadata": {"name": "free"}}, query=DRY)
    assert reply.status == 201, reply.body


@pytest.mark.parametrize("release", ["thief", "thief_near_infiniband"])
def test_the_expressions_fit_the_types_of_the_objects(request, release):
    thief = request.getfixturevalue(release)
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    for policy in POLICIES:
        status = until(
            lambda p=policy: thief.plane.request("GET", f"{path}/{thief.home}.tuneloop.{p}").body.get("status"),
            seconds=60,
            what=f"the types of the policy {policy}",
        )
        assert "expressionWarnings" not in status["typeChecking"], json.dumps(status, indent=1)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({}, ""),
        ({"admissionPolicy": {"create": "never"}}, "There are no admission policies (admissionPolicy.create is `never`)"),
        ({"rbac": {"scope": "cluster"}}, "The operator writes in no namespace of these: kube-system, kube-public, kube-node-lease, "),
    ],
    ids=["the defaults", "no policies", "all namespaces"],
)  # fmt: skip
def test_the_notes_say_where_the_policies_are_off(thief, values, note):
    values = values | {"crds": {"install": False}}
    done = thief.helm.must("install", "other", str(CHART), "-n", thief.team, "--dry-run=server", values=values)
    notes = done.partition("\nNOTES:\n")[2]
    assert "watches" in notes
    assert note in notes
    assert ("admission" in notes) is bool(note)


def _refuses(thief, policy, manifest):
    """Whether the policy is in force: of a request that breaks several policies, any may be named in the answer."""
    broken = copy.deepcopy(manifest)
    spec = broken.get("spec")
    if policy == "children":
        del broken["metadata"]["labels"]
    elif policy == "pods":
        spec["template"]["spec"]["automountServiceAccountToken"] = True
    elif policy == "services":
        spec["selector"] = {"app": "others"}
    elif policy == "networks":
        spec["podSelector"] = {}
    elif policy == "disruptions":
        spec["selector"] = {}
    elif policy == "autoscalers":
        spec["scaleTargetRef"]["name"] = "others"
    else:
        broken["metadata"]["name"] = "others"
    reply = _create(thief, broken, namespace="home" if policy == "leader" else "team")
    return reply.status_code == 403 and f"'{thief.home}.tuneloop.{policy}'" in reply.json()["message"]


def _create(thief, manifest, *, namespace="team"):
    namespace = thief.namespace(namespace)
    body = manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}
    path = COLLECTIONS[manifest["kind"]].format(namespace)
    return thief.client.post(path, json=body, params=DRY | {"fieldValidation": "Strict"})


def _owner(plane, namespace, manifest):
    """Make the owner of a golden object; return the uid that stands in the file, and the owner's."""
    (reference,) = manifest["metadata"]["ownerReferences"]
    spec = {"model": {"uri": "pvc://models/artifact"}}
    if reference["kind"] == "FineTuneJob":
        spec |= {"task": "text-classification", "data": {"train": [{"uri": "pvc://models/rows.csv"}]}}
    owner = {name: reference[name] for name in ("apiVersion", "kind")} | {"spec": spec}
    path = f"/apis/{reference['apiVersion']}/namespaces/{namespace}/{reference['kind'].lower()}s"
    reply = plane.request("POST", path, owner | {"metadata": {"name": reference["name"]}})
    assert reply.status == 201, reply.body
    return reference["uid"], reply.body["metadata"]["uid"]


def _owned(thief, manifest):
    text = json.dumps(manifest)
    for golden, uid in thief.owners.items():
        text = text.replace(golden, uid)
    return json.loads(text)


def _stored(thief, manifest, *, name):
    """Store the object as the administrator; return its path."""
    collection = COLLECTIONS[manifest["kind"]].format(thief.team)
    manifest = _owned(thief, manifest)
    body = manifest | {"metadata": manifest["metadata"] | {"name": name, "namespace": thief.team}}
    reply = thief.plane.request("POST", collection, body)
    assert reply.status == 201, reply.body
    return f"{collection}/{name}"


def _apply(thief, path, manifest):
    name = path.rpartition("/")[2]
    manifest = _owned(thief, manifest)
    body = manifest | {"metadata": manifest["metadata"] | {"name": name, "namespace": thief.team}}
    return thief.client.patch(
        path,
        content=json.dumps(body),
        params=DRY | {"force": "true"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
