"""The chart on a real API server: what it makes is admitted, and its life from install to uninstall leaves nothing behind but what it says."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace

import cluster_tier
import pytest
import yaml
from chart_release import CRD_NAMES, JOB, NO_PODS, OURS, Release, live_through, remove_crds, wait_for_storage
from chart_values import VARIANTS
from cluster.control_plane import ControlPlane
from helm_chart import ROOT, identity, operator_pod
from waiting import until

from tuneloop_operator.desired.common.compare import covers

NOT_SERVED = {"Certificate", "Issuer", "ServiceMonitor", "PodMonitor"}
"""Kinds of other projects, which this API server does not have."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


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
    with cluster_tier.fresh_namespace(plane, labels=RESTRICTED) as name:
        yield name


@pytest.fixture
def release(cluster_helm, plane, namespace):
    """Installs and upgrades one release; at the end nothing of it is left, its CRDs included."""
    installed = Release(cluster_helm, plane, namespace)
    yield installed
    cluster_helm.run("uninstall", "tuneloop", "--namespace", namespace, "--wait")
    remove_crds(plane)


@pytest.fixture(scope="module")
def refused(helm, plane, tmp_path_factory):
    """What a strict dry run says of each object that it refuses, by its JSON, in namespaces of the usual names.

    One call tries the objects of all variants, those that they share once: to start kubectl takes longer than an answer.
    """
    for name in ("tuneloop-system", "team-a", "team-b"):
        _make_namespace(plane, name)
    folder = tmp_path_factory.mktemp("objects")
    texts = sorted({text for values in VARIANTS.values() for text in _served(helm.rendered(values))})
    for number, text in enumerate(texts):
        (folder / f"{number}.json").write_text(text)
    tried = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(folder))
    found = re.split(rf"{folder}/(\d+)\.json", tried.stderr)
    messages = {texts[int(number)]: message for number, message in zip(found[1::2], found[2::2], strict=True)}
    assert len(tried.stdout.splitlines()) == len(texts) - len(messages), tried.stderr
    return messages


def _served(objects):
    return [json.dumps(found) for found in objects if found["kind"] not in NOT_SERVED]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_strict_dry_run_admits_every_object(helm, refused, values):
    objects = _served(helm.rendered(values))
    assert objects
    assert [refused[text] for text in objects if text in refused] == []


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
    "rounds", [pytest.param(1, id="once"), pytest.param(20, id="20 times", marks=pytest.mark.full)]
)
def test_a_job_can_be_applied_as_soon_as_install_returns(release, plane, tmp_path, rounds):
    applied = []
    for number in range(rounds):
        release.install()
        cache = tmp_path / str(number)  # what an earlier round learnt about the API would hide a missing kind
        done = plane.kubectl("--cache-dir", str(cache), "apply", "-n", release.namespace, "-f", str(JOB))
        applied.append(done.stdout or done.stderr)
        release.uninstall()
        remove_crds(plane)
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


def test_crds_that_are_not_kept_go_with_the_release(release, plane):
    release.install({"crds": {"keep": False}})
    wait_for_storage(plane)
    release.uninstall()
    assert release.get("crds", "-l", OURS)["items"] == []


@pytest.fixture(scope="module")
def life(cluster_helm, plane):
    """The life of one release. Each install and upgrade takes seconds of work, so the tests below look at the same ones."""
    _make_namespace(plane, "second")
    with cluster_tier.fresh_namespace(plane, labels=RESTRICTED) as namespace:
        yield live_through(Release(cluster_helm, plane, namespace), Release(cluster_helm, plane, "second"))
        remove_crds(plane)


def test_install_says_what_to_do_next(life):
    for command in (
        "rollout status deployment/tuneloop",
        "cp ./minilm loader:/claim/minilm",
        "get finetunejobs --watch",
        "helm uninstall tuneloop",
    ):
        assert command in life.notes
    assert "<no value>" not in life.notes
    assert "makes a new certificate" not in life.notes


def test_what_is_stored_is_what_was_rendered(life, helm):
    """Nothing is dropped by the API server: a field that it does not know would be missing in the stored object."""
    rendered = helm.rendered(NO_PODS, namespace=life.release.namespace)
    assert sorted(map(str, map(identity, life.stored))) == sorted(map(str, map(identity, rendered)))
    for live, stored in zip(life.live, life.stored, strict=True):
        assert covers(live, stored), identity(stored)


def test_a_release_beside_the_first_brings_no_crds(life):
    assert len(life.crds_beside) == len(CRD_NAMES)


def test_an_upgrade_keeps_the_certificate(life):
    before, after, _ = life.upgrades.certificates
    assert after == before


def test_a_certificate_for_another_name_is_made_again(life):
    _, before, after = life.upgrades.certificates
    assert all(after[key] != before[key] for key in before)


def test_an_upgrade_brings_the_crds_up_to_date(life):
    assert "additionalPrinterColumns" in life.upgrades.crd["spec"]["versions"][0]


def test_uninstall_leaves_crds_jobs_and_the_certificate_and_nothing_else(life):
    certificates = ["tuneloop-progress-tls"] * 2  # this one, and that of the release beside
    assert sorted(left["metadata"]["name"] for left in life.left) == [*CRD_NAMES, *certificates]
    assert len(life.jobs[1]) == 1
    assert [left["metadata"]["name"] for left in life.secrets_left] == ["tuneloop-progress-tls"]


def test_a_second_install_has_the_certificate_of_the_first(life):
    before, after = life.certificates
    assert after == before


def test_a_second_install_takes_over_the_crds_that_were_kept(life):
    before, _, after = ([job["metadata"]["uid"] for job in jobs] for jobs in life.jobs)
    assert after == before


def test_after_uninstall_objects_and_crds_can_be_deleted(life, plane):
    there = ("-n", life.release.namespace, "finetunejob", "reviews")
    assert plane.kubectl("delete", *there, "--timeout=10s").returncode == 0
    life.release.apply_job()
    remove_crds(plane)


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
