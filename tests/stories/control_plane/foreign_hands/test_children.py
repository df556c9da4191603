"""What the operator makes is changed or deleted by others, or its name is taken: it is put right once, or reported and left alone."""

from __future__ import annotations

from typing import Any

import pytest
from foreign_hands import JOB_LABEL, MANAGED, ONE_RUN, Story, gang
from served_models import deploy, deployment_status, is_ready
from stories_at_once import at_once
from waiting import until

STRATEGIC = "application/strategic-merge-patch+json"
RESOURCES = {"Service": "services", "NetworkPolicy": "networkpolicies"}


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        pytest.param("narrowed", "Service", {"spec": {"selector": {"app": "mine"}}}, id="a selector that selects less"),
        pytest.param("hidden", "Service", {"spec": {"publishNotReadyAddresses": False}}, id="another value of a field"),
        pytest.param("opened", "NetworkPolicy", {"spec": {"ingress": [{}]}}, id="a policy that lets all in"),
        pytest.param("unfound", "Service", {"metadata": {"labels": {JOB_LABEL: None}}}, id="no label to find it by"),
        pytest.param("unseen", "Service", {"metadata": {"labels": {MANAGED: None}}}, id="no label to watch it by"),
    ],
)
@at_once
def test_what_is_changed_by_hand_is_put_right_once(stage, name, kind, change):
    job = stage.training(name)
    before, applied = job.child(kind, "train"), len(job.traffic.applied(RESOURCES[kind]))
    job.patch(kind, "train", change)
    until(lambda: len(job.traffic.applied(RESOURCES[kind])) > applied, seconds=30, what="an apply")
    job.traffic.come_to_rest()
    found = job.child(kind, "train")
    assert (found["spec"], found["metadata"]["labels"]) == (before["spec"], before["metadata"]["labels"])
    assert len(job.traffic.applied(RESOURCES[kind])) == applied + 1
    job.go_on("train")
    job.wait_for("Succeeded")


@at_once
def test_a_change_that_cannot_be_put_right_is_reported_and_the_job_ends_well(stage):
    """An apply adds our port beside the other one of the same name, which the API server refuses."""
    job = stage.training("moved")
    job.patch("Service", "train", {"spec": {"ports": [{"name": "rendezvous", "port": 29501}]}})
    refused = until(lambda: stage.client.condition(job.name, "Refused"), seconds=30, what="what is refused")
    assert "Service moved-train" in refused["message"]
    job.traffic.come_to_rest()
    job.go_on("train")
    status = job.wait_for("Succeeded", seconds=90)
    assert (status["attempt"], status.get("restarts"), job.runs) == (1, None, ONE_RUN)


@at_once
def test_what_others_add_stays_and_costs_no_call(stage):
    job = stage.training("shared")
    job.traffic.come_to_rest()
    before = len(job.traffic.calls)
    port = {"name": "extra", "port": 9999, "protocol": "TCP", "targetPort": 9999}
    job.patch("Service", "train", {"spec": {"ports": [port]}}, content_type=STRATEGIC)
    job.patch("Service", "train", {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}})
    job.traffic.come_to_rest()
    found = job.child("Service", "train")
    assert (port in found["spec"]["ports"], found["metadata"]["labels"]["team"]) == (True, "a")
    assert len(job.traffic.calls) == before
    job.go_on("train")
    job.wait_for("Succeeded")


@at_once
def test_what_is_deleted_by_hand_is_made_again_once_but_no_configuration(stage):
    """A configuration is of one run, and its pods have read it."""
    job = stage.training("missing")
    for kind, suffix in (("Service", "train"), ("NetworkPolicy", "train"), ("ConfigMap", "a1")):
        job.delete(kind, suffix)
    until(lambda: job.child("Service", "train") and job.child("NetworkPolicy", "train"), seconds=30, what="both")
    job.traffic.come_to_rest()
    assert {kind: job.traffic.made[kind, f"{job.name}-train"] for kind in RESOURCES.values()} == {
        "services": 2,
        "networkpolicies": 2,
    }
    assert job.child("ConfigMap", "a1") is None
    job.go_on("train")
    job.wait_for("Succeeded")


def image_of(deployment: dict[str, Any]) -> str:
    """Return the image of the first container."""
    image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


@at_once
def test_servers_that_are_changed_by_hand_are_put_right_once_and_additions_stay(stage):
    job = stage.served("api")
    revision = deployment_status(job.client, job.name)["stable"]["revision"]
    before = job.child("Deployment", revision)
    applied = len(job.traffic.applied("deployments"))
    job.patch("Deployment", revision, {"spec": {"replicas": 3}})
    server = {"name": "server", "image": "other:1", "env": [{"name": "EXTRA", "value": "1"}]}
    change = {"spec": {"template": {"spec": {"containers": [server]}}}}
    until(lambda: job.child("Deployment", revision)["spec"]["replicas"] == 1, seconds=30, what="one replica")
    job.patch("Deployment", revision, change, content_type=STRATEGIC)
    (ours,) = before["spec"]["template"]["spec"]["containers"]
    until(lambda: image_of(job.child("Deployment", revision)) == ours["image"], seconds=30, what="our image again")
    job.traffic.come_to_rest(seconds=30)
    found = job.child("Deployment", revision)
    (server,) = found["spec"]["template"]["spec"]["containers"]
    assert (found["spec"]["replicas"], server["image"]) == (1, ours["image"])
    assert {"name": "EXTRA", "value": "1"} in server["env"]
    assert len(job.traffic.applied("deployments")) == applied + 2
    until(lambda: is_ready(stage.client, job.name), seconds=60, what="ready servers")


@at_once
def test_a_servers_children_that_are_deleted_by_hand_are_made_again_once(stage):
    job = stage.served("rebuilt")
    revision = deployment_status(job.client, job.name)["stable"]["revision"]
    for kind in ("ConfigMap", "Service", "Deployment"):
        job.delete(kind, revision)
    job.client.delete("Service", job.name)
    name = f"{job.name}-{revision}"
    until(
        lambda: job.traffic.made["deployments", name] == 2 and is_ready(stage.client, job.name),
        seconds=60,
        what="ready servers",
    )
    job.traffic.come_to_rest(seconds=30)
    assert job.traffic.made == {
        ("configmaps", name): 2,
        ("services", name): 2,
        ("services", job.name): 2,
        ("deployments", name): 2,
        ("networkpolicies", f"{job.name}-servers"): 1,
    } | {key: count for key, count in job.traffic.made.items() if key[0] == "events"}


TAKEN = {
    "taken-1": ("Job", "prepare"),
    "taken-2": ("Job", "a1"),
    "taken-3": ("Job", "export"),
    "taken-4": ("ConfigMap", "prepare"),
    "taken-5": ("ConfigMap", "a1"),
    "taken-6": ("Service", "train"),
    "taken-7": ("NetworkPolicy", "train"),
}
"""Which child's name somebody else uses, by the job's name."""
POD = {"spec": {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "theirs"}]}}
THEIRS = {
    "Job": {"apiVersion": "batch/v1", "spec": {"suspend": True, "template": POD}},
    "ConfigMap": {"apiVersion": "v1", "data": {"theirs": "1"}},
    "Service": {"apiVersion": "v1", "spec": {"clusterIP": "None", "selector": {"app": "theirs"}}},
    "NetworkPolicy": {
        "apiVersion": "networking.k8s.io/v1",
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}},
    },
}


@at_once
def test_an_object_of_somebody_else_is_named_and_left_alone_and_once_it_is_gone_the_job_goes_on(stage):
    jobs = {name: stage.job(name) for name in TAKEN}
    for name, (kind, suffix) in TAKEN.items():
        labels = {MANAGED: "tuneloop", JOB_LABEL: name}  # labels alone make nothing ours
        stage.client.create(
            kind, {"kind": kind, "metadata": {"name": f"{name}-{suffix}", "labels": labels}, **THEIRS[kind]}
        )
        stage.client.submit(name)
    for name, (kind, suffix) in TAKEN.items():
        refused = until(
            lambda name=name: stage.client.condition(name, "NameConflict"), seconds=60, what=f"a conflict of {name}"
        )
        assert f"{kind} {name}-{suffix} is not ours" in refused["message"]
    stage.job("taken").traffic.come_to_rest()  # all of them: their names begin so
    for name, (kind, suffix) in TAKEN.items():
        theirs = jobs[name].child(kind, suffix)
        assert "tuneloop" not in {entry["manager"] for entry in theirs["metadata"]["managedFields"]}
        jobs[name].delete(kind, suffix)
    for name, job in jobs.items():
        job.wait_for("Succeeded")
        assert stage.client.condition(name, "NameConflict") is None
        assert set(job.runs.values()) == {1}


@at_once
def test_a_service_of_somebody_else_is_named_and_left_alone_and_once_it_is_gone_the_servers_come_up(stage):
    job = stage.job("taken-api")
    theirs = stage.client.create("Service", {"kind": "Service", "metadata": {"name": job.name}, **THEIRS["Service"]})
    deploy(stage.client, job.name)
    conflict = until(lambda: conflict_of(job), seconds=60, what="a conflict")
    assert f"Service {job.name} is not ours" in conflict["message"]
    job.traffic.come_to_rest()
    assert stage.client.get("Service", job.name) == theirs
    stage.client.delete("Service", job.name)
    until(lambda: is_ready(stage.client, job.name), seconds=60, what="ready servers")
    assert conflict_of(job) is None
    assert (
        job.traffic.made["deployments", f"{job.name}-{deployment_status(job.client, job.name)['stable']['revision']}"]
        == 1
    )


def conflict_of(job: Story):
    conditions = deployment_status(job.client, job.name).get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == "NameConflict"), None)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param("disowned-1", MANAGED, id="the one that is watched by"),
        pytest.param("disowned-2", JOB_LABEL, id="the one that names the job"),
        pytest.param("disowned-3", "tuneloop.dev/stage", id="the one that names the stage"),
    ],
)
@at_once
def test_a_training_job_without_our_label_is_replaced_but_not_before_its_pods_have_ended(stage, name, label):
    job = stage.training(name)
    job.patch("Job", "a1", {"metadata": {"labels": {label: None}}})
    job.wait_for("Restarting")
    job.traffic.come_to_rest()
    assert job.runs == {"prepare": 1, "a1": 1}
    job.go_on("train")
    job.succeeds_after_one_disruption()


@at_once
def test_a_pod_without_our_label_is_still_observed_as_it_ends(stage):
    job = stage.training("muted")
    (first, *_) = sorted(pod["metadata"]["name"] for pod in gang(job))
    job.client.patch("Pod", first, {"metadata": {"labels": {MANAGED: None}}})
    job.traffic.come_to_rest()
    job.go_on("train")
    status = job.wait_for("Succeeded")
    assert (status["attempt"], job.runs) == (1, ONE_RUN)
