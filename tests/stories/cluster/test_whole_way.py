"""From two manifests to answers on a real node: Helm installs, pods train and serve, Prometheus scrapes, and all goes away again."""

from __future__ import annotations

import hashlib
import json
import subprocess

import cluster_prometheus
import cluster_tier
import pytest
from cluster_audit import asked
from cluster_release import installed
from cluster_stories import SMALLEST, STEPS
from helm_chart import Right, reviewed_rights
from waiting import until
from workspace import CLAIM, deployment_manifest, job_manifest

from tuneloop_api.contract.artifact import MANIFEST, Manifest

ORDER = ("Pending", "Preparing", "Queued", "Running", "Exporting", "Succeeded")
"""The phases of a job that nothing disturbs."""
CHILDREN = ("jobs", "pods", "configmaps", "services", "deployments", "replicasets", "networkpolicies", "endpointslices")
ELSEWHERE = {
    "get": "before a verdict after a failure, a conflict or a name that is taken: control plane, faults",
    "delete": "suspension and old revisions: control plane",
    "update": "no request",
}
"""Verbs that not every run of this suite uses, and which suite does."""


def test_the_deployment_answers_through_its_service(served):
    scores = json.loads(_ask(served.url))
    assert {score["label"] for score in scores} == {"class-0", "class-1"}, scores
    assert sum(score["score"] for score in scores) == pytest.approx(1, abs=1e-4)


def test_two_pods_trained_on_the_pod_network_and_met_by_name(served):
    pods = served.tenant.pods("tuneloop.dev/job=reviews,tuneloop.dev/stage=train")
    assert {pod["metadata"]["labels"]["tuneloop.dev/attempt"] for pod in pods} == {"1"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    config_maps = {
        config_map["metadata"]["name"]: config_map["data"] for config_map in served.tenant.list("configmaps")
    }
    assert json.loads(config_maps["reviews-a1"]["run.json"])["rendezvous"]["address"] == "reviews-a1-0.reviews-train"


def test_the_artifact_on_the_claim_is_the_one_in_the_status(served):
    artifact = served.job["artifact"]
    folder = served.tenant.release.claim / artifact["uri"].removeprefix(f"pvc://{CLAIM}/")
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
    assert manifest.digest() == artifact["digest"]
    for file in manifest.files:
        assert hashlib.sha256((folder / file.path).read_bytes()).hexdigest() == file.sha256, file.path


def test_the_deployment_serves_that_artifact(served):
    assert served.deployments[-1]["stable"]["digest"] == served.job["artifact"]["digest"]
    assert [status["phase"] for status in served.deployments if "phase" in status][-1] == "Ready"


def test_the_phases_come_in_their_order(served):
    observed = [status["phase"] for status in served.jobs if "phase" in status]
    ranks = [ORDER.index(phase) for phase in observed]
    assert ranks == sorted(ranks), observed
    assert {"Preparing", "Running", "Exporting", "Succeeded"} <= set(observed)


def test_progress_never_falls(served):
    progress = [status["progress"] for status in served.jobs if "progress" in status]
    percents = [int(block["percent"].removesuffix("%")) for block in progress]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    steps = [block["step"] for block in progress if "step" in block]
    assert steps == sorted(steps)
    assert steps[-1] == STEPS


def test_steps_were_posted_while_the_gang_ran(served):
    running = [status.get("progress", {}) for status in served.jobs if status.get("phase") == "Running"]
    assert {block["step"] for block in running if block.get("step", 0) > 0} - {STEPS}, running


def test_the_workers_are_those_of_the_gang(served):
    expected = {"Running": {"2/2"}, "Queued": {None, "0/2", "1/2"}}
    observed = {(status.get("phase"), status.get("workers")) for status in served.jobs}
    assert not [pair for pair in observed if pair[1] not in expected.get(pair[0], {None})], observed


def test_the_status_tells_everything_at_the_end(served):
    status = served.job
    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        "Accepted": "True",
        "Prepared": "True",
        "PodsReady": "False",  # no attempt runs
        "TrainingHealthy": "False",  # a small model without knowledge learns nothing in so few steps, and that is said
        "Complete": "True",
        "Ready": "True",
    }
    assert {baseline["name"] for baseline in status["evaluation"]["baselines"]} >= {"majority", "tfidf-linear"}
    assert "accuracy" in {metric["name"] for metric in status["evaluation"]["metrics"]}
    assert [(attempt["attempt"], attempt["startStep"], attempt["endStep"]) for attempt in status["history"]] == [
        (1, 0, STEPS)
    ]
    assert status["checkpoint"]["latest"]["step"] == STEPS
    assert status["data"]["rows"] == 400
    assert status["resume"] == "exact"
    assert not {"failure", "restarts"} & set(status)


def test_the_deployment_has_no_condition_that_is_false(served):
    conditions = {condition["type"]: condition["status"] for condition in served.deployments[-1]["conditions"]}
    assert conditions == {"Accepted": "True", "ModelAvailable": "True", "Ready": "True"}


def test_events_tell_the_story_of_the_job(served):
    reasons = {
        event["reason"]
        for event in served.tenant.list("events")
        if event.get("regarding", {}).get("kind") == "FineTuneJob"
    }
    assert reasons == {"Started", "PrepareSucceeded", "TrainSucceeded", "ExportSucceeded"}


def test_a_real_prometheus_scrapes_operator_and_server(served, request, tmp_path):
    if problem := cluster_prometheus.missing(
        say=cluster_tier.sayer(request.config), may_install=cluster_tier.required()
    ):
        cluster_tier.cannot_run(problem)
    release = served.tenant.release
    (metrics,) = [
        service
        for service in release.list("services", namespace=release.namespace)
        if "metrics" in service["metadata"]["name"]
    ]
    (server,) = served.tenant.pods("tuneloop.dev/deployment=reviews")
    addresses = {
        "operator": f"{metrics['spec']['clusterIP']}:8080",
        "server": f"{server['status']['podIP']}:8081",
    }
    _ask(served.url)
    with cluster_prometheus.scraping(addresses, tmp_path) as prometheus:
        until(lambda: set(prometheus.targets().values()) == {("up", "")}, seconds=30, what="both targets up")
        (jobs,) = until(lambda: prometheus.query('tuneloop_jobs{phase="Succeeded"}'), seconds=15, what="jobs")
        requests = until(lambda: prometheus.query('tuneloop_requests_total{code="200"}'), seconds=15, what="requests")
    assert jobs["value"] >= 1
    assert [sample["deployment"] for sample in requests] == ["reviews"]
    assert requests[0]["value"] >= 1


def test_kubectl_delete_removes_every_child(served):
    tenant = served.tenant.release.in_namespace("deleted")
    tenant.apply(job_manifest(**SMALLEST), deployment_manifest(model={"uri": served.job["artifact"]["uri"]}))
    tenant.until(
        lambda: (
            tenant.status("modeldeployments", "reviews").get("phase") == "Ready"
            and tenant.status("finetunejobs", "reviews").get("phase") in {"Running", "Exporting", "Succeeded"}
        ),
        what="a server, and a gang that has begun",
    )
    assert _children(tenant) >= {"jobs", "pods", "configmaps", "services", "deployments"}
    tenant.kubectl("delete", "ftj,mdep", "reviews")
    tenant.until(lambda: not _children(tenant), what="the end of every child")


def test_uninstall_with_a_job_at_work_wedges_nothing(served, node_cluster, helm):
    release = served.tenant.release
    with installed(
        node_cluster, helm, namespace="leaving", watched=["leaving"], claim=release.claim, crds={"install": False}
    ) as own:
        tenant = own.in_namespace("leaving")
        tenant.apply(job_manifest(**SMALLEST), deployment_manifest(model={"uri": served.job["artifact"]["uri"]}))
        tenant.until(lambda: tenant.pods("tuneloop.dev/stage=prepare"), what="a pod at work")
        own.helm.must("uninstall", "tuneloop", "-n", "leaving", "--wait", "--timeout", "10m")
        assert tenant.status("finetunejobs", "reviews")["phase"] in ORDER
        assert not own.list("deployments", namespace="leaving", selector="app.kubernetes.io/instance=tuneloop")
        node_cluster.kubectl("delete", "namespace", "leaving", "--wait=false")
        until(
            lambda: node_cluster.request("GET", "/api/v1/namespaces/leaving").status == 404,
            seconds=120,
            what="the end of the namespace",
        )


def test_the_operator_asked_only_for_what_it_may(served, request):
    """Of all that was run before it in this session."""
    release = served.tenant.release
    found = asked(
        release.cluster.audit_log,
        account=release.account,
        namespaces=release.watched,
        release_namespace=release.namespace,
    )
    assert Right("watched", "batch", "jobs", "create") in found.rights, "the audit log tells nothing of the operator"
    assert not found.refused
    reviewed = set(reviewed_rights())
    assert not found.rights - reviewed
    for right in sorted(reviewed - found.rights):
        reason = ELSEWHERE.get(right.verb, "nothing here needed it")
        cluster_tier.sayer(request.config)(f"not asked for here: {' '.join(filter(None, right))} ({reason})")


def _ask(url):
    body = {"inputs": "a good film", "parameters": {"top_k": 2}}
    command = ["curl", "--silent", "--fail-with-body", "--max-time", "10", f"{url}/", "--json", json.dumps(body)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def _children(tenant):
    """Return the kinds of which there are children."""
    names = {kind: {found["metadata"]["name"] for found in tenant.list(kind)} for kind in CHILDREN}
    return {kind for kind, found in names.items() if found - {"kube-root-ca.crt"}}
