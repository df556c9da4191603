"""The chart on a real API server: what it makes is admitted, and its life from install to uninstall leaves nothing behind but what it says."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import cluster_tier
import pytest
import yaml
from chart_values import VARIANTS
from cluster.control_plane import ControlPlane
from helm_chart import CHART, ROOT, identity, operator_pod, parsed
from waiting import until

from tuneloop_operator.desired.common.compare import covers

NOT_SERVED = {"Certificate", "Issuer", "ServiceMonitor", "PodMonitor"}
"""Kinds of other projects, which this API server does not have."""
CRD_NAMES = ["finetunejobs.tuneloop.dev", "modeldeployments.tuneloop.dev"]
JOB = ROOT / "examples/reviews/job.yaml"
OUR_KINDS = ("finetunejobs", "modeldeployments")
NO_PODS = {"replicas": 0}
"""No pod ever becomes ready here, because there is no kubelet."""


@pytest.fixture(scope="module")
def plane(control_plane, tmp_path_factory):
    """A control plane without our CRDs; `control_plane` says whether there can be one."""
    with ControlPlane(tmp_path_factory.mktemp("chart-plane")) as own:
        yield own


@pytest.fixture(scope="module")
def cluster_helm(helm, plane):
    return replace(helm, kubeconfig=plane.kubeconfig)


@pytest.fixture
def namespace(plane):
    """A namespace that admits only restricted pods."""
    with cluster_tier.fresh_namespace(plane, labels={"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        yield name


@pytest.fixture
def release(cluster_helm, plane, namespace):
    """Installs and upgrades one release; at the end nothing of it is left, its CRDs included."""
    installed = Release(cluster_helm, plane, namespace)
    yield installed
    cluster_helm.run("uninstall", "tuneloop", "--namespace", namespace, "--wait")
    _remove_crds(plane)


class Release:
    """A release named `tuneloop`."""

    def __init__(self, helm, plane, namespace):
        self._helm, self._plane, self.namespace = helm, plane, namespace

    def install(self, values=None):
        return self._must(
            "install", "tuneloop", str(CHART), "--wait", "--timeout", "60s", values=NO_PODS | (values or {})
        )

    def upgrade(self, values=None):
        return self._must(
            "upgrade", "tuneloop", str(CHART), "--wait", "--timeout", "60s", values=NO_PODS | (values or {})
        )

    def uninstall(self):
        return self._must("uninstall", "tuneloop", "--wait", "--timeout", "60s")

    def get(self, *arguments):
        found = self._plane.kubectl("get", "-n", self.namespace, *arguments, "-o", "json")
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    def _must(self, *arguments, values=None):
        return self._helm.must(*arguments, "--namespace", self.namespace, values=values)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_strict_dry_run_admits_every_object(helm, plane, values):
    for name in ("tuneloop-system", "team-a", "team-b"):
        _make_namespace(plane, name)
    objects = [found for found in helm.rendered(values) if found["kind"] not in NOT_SERVED]
    tried = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=_list(objects))
    assert tried.returncode == 0, tried.stderr
    assert len(tried.stdout.splitlines()) == len(objects)


@pytest.mark.parametrize("variant", ["the defaults", "user and group chosen by the platform", "the largest numbers"])
def test_a_namespace_that_enforces_restricted_admits_the_operators_pod(helm, plane, namespace, variant):
    pod = operator_pod(helm.rendered(VARIANTS[variant], namespace=namespace))
    pod["spec"]["serviceAccountName"] = "default"
    created = _dry_run_pod(plane, namespace, pod)
    assert created.returncode == 0, created.stderr


def test_a_namespace_that_enforces_restricted_admits_the_loader_and_no_privileged_pod(plane, namespace):
    loader = yaml.safe_load((ROOT / "examples/cluster/loader.yaml").read_text())
    admitted = _dry_run_pod(plane, namespace, loader)
    assert admitted.returncode == 0, admitted.stderr
    loader["spec"]["containers"][0]["securityContext"]["privileged"] = True
    loader["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refused = _dry_run_pod(plane, namespace, loader)
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_claim_of_the_examples_is_admitted(plane, namespace):
    path = ROOT / "examples/cluster/claim.yaml"
    made = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", str(path))
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize(
    "rounds", [pytest.param(3, id="3 times"), pytest.param(20, id="20 times", marks=pytest.mark.full)]
)
def test_a_job_can_be_applied_as_soon_as_install_returns(release, plane, tmp_path, rounds):
    applied = []
    for number in range(rounds):
        release.install()
        cache = tmp_path / str(number)  # what an earlier round learnt about the API would hide a missing kind
        done = plane.kubectl("--cache-dir", str(cache), "apply", "-n", release.namespace, "-f", str(JOB))
        applied.append(done.stdout or done.stderr)
        release.uninstall()
        _remove_crds(plane)
    assert applied == rounds * ["finetunejob.tuneloop.dev/reviews created\n"]


def test_install_waits_until_the_operator_is_ready(release, plane):
    outcome = []
    waiting = threading.Thread(target=lambda: outcome.append(release.install({"replicas": 1})))
    waiting.start()
    try:
        (pod,) = until(lambda: release.get("pods")["items"], seconds=30, what="a pod")
        assert not outcome
        _play_ready(plane, pod)
    finally:
        waiting.join(timeout=70)
    assert "STATUS: deployed" in outcome[0]


def test_install_says_what_to_do_next(release):
    notes = release.install()
    for command in (
        "rollout status deployment/tuneloop",
        "cp ./minilm loader:/claim/minilm",
        "get finetunejobs --watch",
        "helm uninstall tuneloop",
    ):
        assert command in notes
    assert "<no value>" not in notes
    assert "makes a new certificate" not in notes


def test_an_upgrade_keeps_the_certificate(release):
    release.install()
    before = release.get("secret", "tuneloop-progress-tls")["data"]
    release.upgrade({"workers": 3})
    assert release.get("secret", "tuneloop-progress-tls")["data"] == before


def test_a_certificate_for_another_name_is_made_again(release):
    release.install()
    before = release.get("secret", "tuneloop-progress-tls")["data"]
    release.upgrade({"progress": {"service": "ml-progress"}})
    after = release.get("secret", "tuneloop-progress-tls")["data"]
    assert all(after[key] != before[key] for key in before)


def test_an_upgrade_brings_the_crds_up_to_date(release, plane):
    release.install()
    patch = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    plane.kubectl("patch", "crd", CRD_NAMES[0], "--type=json", "-p", patch)
    release.upgrade({"workers": 3})
    assert "additionalPrinterColumns" in release.get("crd", CRD_NAMES[0])["spec"]["versions"][0]


def test_uninstall_leaves_crds_and_jobs_and_nothing_else(release, plane):
    release.install({"monitor": {"create": "never"}})
    plane.kubectl("apply", "-n", release.namespace, "-f", str(JOB))
    release.uninstall()
    kinds = "deployments,services,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,clusterroles,clusterrolebindings,crds"
    left = release.get(kinds, "-A", "-l", "app.kubernetes.io/instance=tuneloop")["items"]
    assert sorted(found["metadata"]["name"] for found in left) == CRD_NAMES
    assert len(release.get("finetunejobs")["items"]) == 1
    assert release.get("secrets")["items"] == []


def test_after_uninstall_objects_and_crds_can_be_deleted(release, plane):
    release.install()
    plane.kubectl("apply", "-n", release.namespace, "-f", str(JOB))
    release.uninstall()
    assert plane.kubectl("delete", "-n", release.namespace, "finetunejob", "reviews", "--timeout=10s").returncode == 0
    plane.kubectl("apply", "-n", release.namespace, "-f", str(JOB))
    _remove_crds(plane)


def test_a_second_install_takes_over_the_crds_that_were_kept(release, plane):
    release.install()
    plane.kubectl("apply", "-n", release.namespace, "-f", str(JOB))
    before = release.get("finetunejob", "reviews")["metadata"]["uid"]
    release.uninstall()
    release.install()
    assert release.get("finetunejob", "reviews")["metadata"]["uid"] == before


def test_crds_that_are_not_kept_go_with_the_release(release, plane):
    release.install({"crds": {"keep": False}})
    _wait_for_storage(plane)
    release.uninstall()
    assert release.get("crds", "-l", "app.kubernetes.io/instance=tuneloop")["items"] == []


def test_a_release_beside_the_first_brings_no_crds(release, cluster_helm, plane):
    release.install()
    _make_namespace(plane, "second")
    second = Release(cluster_helm, plane, "second")
    second.install({"crds": {"install": False}})
    second.uninstall()
    assert len(release.get("crds", "-l", "app.kubernetes.io/instance=tuneloop")["items"]) == len(CRD_NAMES)


def test_what_is_stored_is_what_was_rendered(release, helm):
    """Nothing is dropped by the API server: a field that it does not know would be missing in the stored object."""
    release.install()
    stored = parsed(release._must("get", "manifest", "tuneloop"))
    assert sorted(map(str, map(identity, stored))) == sorted(
        map(str, map(identity, helm.rendered(NO_PODS, namespace=release.namespace)))
    )
    for found in stored:
        kind, namespace, name = identity(found)
        live = release.get(kind, name) if namespace == release.namespace else release.get(kind, name, "-A")
        assert covers(live, found), (kind, name)


def _wait_for_storage(plane):
    """Wait for the storage of our kinds: where a CRD is deleted earlier, the API server's own finalizer waits for minutes."""
    for kind in OUR_KINDS:
        path = f"/apis/tuneloop.dev/v1alpha1/{kind}?resourceVersion=0"
        until(lambda path=path: plane.request("GET", path).status == 200, seconds=30, what=f"the storage of {kind}")


def _remove_crds(plane):
    """Delete the CRDs, with all objects of our kinds."""
    if plane.kubectl("get", "crd", *CRD_NAMES).returncode != 0:
        return
    _wait_for_storage(plane)
    deleted = plane.kubectl("delete", "crd", *CRD_NAMES, "--timeout=30s")
    assert deleted.returncode == 0, deleted.stderr


def _make_namespace(plane, name):
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.request("POST", "/api/v1/namespaces", body).status in {201, 409}
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: plane.request("GET", account).status == 200, seconds=30, what="a service account")


def _dry_run_pod(plane, namespace, template):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tried", "labels": template["metadata"].get("labels", {})},
        "spec": template["spec"],
    }
    return plane.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", stdin=json.dumps(pod)
    )


def _play_ready(plane, pod):
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    reply = plane.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")
    assert reply.status == 200, reply.body


def _list(objects):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
