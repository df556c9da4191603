"""Pods cannot start: no image, a quota, a limit or a policy in the way. The status repeats the words of who refused, and nothing is held for ever."""

from __future__ import annotations

import threading

import pytest
from failing_jobs import Job, Stage
from namespace_client import NamespaceClient
from pod_scripts import Bind, End, PodLifecycle, Run, Until, Waiting, by_index, hang, no_image
from stage_messages import success
from stories_at_once import at_once
from waiting import until

IMPATIENT = {"startDeadline": "60s"}
AFTER_EVENTS = {"startDeadline": "90s"}
"""For pods that are not created: Events of the Job controller are all that says why, and come late on a busy machine."""
CORE = "/api/v1/namespaces"


def fails_to_start(job: Job, kind: str, *words: str):
    """Wait for the end of the job, require its class, that it says these words, and that nothing of it runs; return its status."""
    status = job.wait_for("Failed", seconds=240)
    message = f"{status['failure']['message']}\n{job.client.condition(job.name, 'Failed')['message']}"
    assert status["failure"]["class"] == kind, message
    assert [word for word in words if word not in message] == [], message
    until(lambda: job.running() == [], seconds=30, what="no pods")
    return status


# ---- images ---------------------------------------------------------------------------------------------------------------------------


@at_once
def test_a_gang_of_which_one_image_cannot_be_pulled_is_named_and_wholly_freed_at_its_start_deadline(stage):
    job = stage.job("no-image")
    job.kubelet.scripts[f"{job.name}/train"] = by_index({1: no_image}, otherwise=hang)
    job.submit(failurePolicy=IMPATIENT)
    condition = until(lambda: waits(job), seconds=30, what="a pod that waits for its image")
    without = next(pod for pod in job.gang(1) if pod["metadata"]["name"].startswith(f"{job.name}-a1-1"))
    assert without["metadata"]["name"] in condition["message"]
    assert without["spec"]["containers"][0]["image"] in condition["message"]
    status = fails_to_start(job, "ImagePull", "ImagePullBackOff", without["spec"]["containers"][0]["image"])
    assert (status["failure"]["pod"], status["attempt"]) == (without["metadata"]["name"], 1)


def waits(job: Job):
    return is_named(job, "ErrImagePull", "ImagePullBackOff")


def is_named(job: Job, *reasons: str):
    found = job.client.condition(job.name, "PodsReady")
    return found if found and found["reason"] in reasons else None


@at_once
def test_the_image_of_the_first_stage_that_cannot_be_pulled_fails_the_job(stage):
    job = stage.job("no-first-image")
    job.kubelet.scripts[f"{job.name}/prepare"] = no_image
    job.submit(failurePolicy=IMPATIENT)
    assert "pod no-first-image-prepare-" in until(lambda: waits(job), seconds=30, what="a pod that waits")["message"]
    assert fails_to_start(job, "ImagePull", "ImagePullBackOff")["failure"]["stage"] == "prepare"


@at_once
def test_an_image_that_comes_in_time_is_waited_for(stage):
    job = stage.job("late-image")
    come = threading.Event()

    def late(pod, attempt, at, index):
        wait = Waiting("ErrImagePull", "the registry has a break")
        return PodLifecycle((Bind(), wait, Until(come), Run(), End(message=success(at, index=index))))

    job.kubelet.scripts[f"{job.name}/train"] = late
    job.submit()
    until(lambda: waits(job), seconds=30, what="a gang that waits for its image")
    come.set()
    status = job.wait_for("Succeeded")
    assert (status["attempt"], status.get("restarts")) == (1, None)


# ---- claims -----------------------------------------------------------------------------------------------------------------------------


@at_once
def test_a_claim_that_is_not_there_is_reported_in_the_words_of_the_scheduler(stage):
    job = stage.job("no-claim", client=stage.place("claimless", has_claim=False))
    job.submit(failurePolicy=IMPATIENT)
    condition = until(lambda: is_named(job, "Unschedulable"), seconds=30, what="a pod that waits")
    assert 'persistentvolumeclaim "models" not found' in condition["message"]
    fails_to_start(job, "StartDeadline", 'persistentvolumeclaim "models" not found')


@at_once
def test_a_claim_that_comes_in_time_is_waited_for(stage):
    job = stage.job("late-claim", client=stage.place("furnished", has_claim=False))
    job.submit()
    until(lambda: [pod for pod in job.running() if is_unschedulable(pod)], seconds=60, what="a pod that finds no claim")
    stage.furnish("furnished")
    status = job.wait_for("Succeeded", seconds=120)
    assert (status["attempt"], status.get("restarts")) == (1, None)


def is_unschedulable(pod) -> bool:
    conditions = {condition["type"]: condition.get("reason") for condition in pod["status"].get("conditions", ())}
    return conditions.get("PodScheduled") == "Unschedulable"


# ---- quotas, limits, policies -----------------------------------------------------------------------------------------------------------


def limited(stage: Stage, client: NamespaceClient, **hard: str) -> str:
    """Put a quota on a namespace, and return its path once it holds."""
    metadata = {"name": "tight"}
    stage.make(f"{CORE}/{client.namespace}/resourcequotas", {"metadata": metadata, "spec": {"hard": hard}})
    path = f"{CORE}/{client.namespace}/resourcequotas/tight"
    until(lambda: stage.ask("GET", path).body.get("status", {}).get("hard") == hard, seconds=30, what="a quota")
    return path


@at_once
def test_a_quota_without_room_for_any_pod_is_reported_in_the_words_of_the_api_server(stage):
    client = stage.place("no-room")
    limited(stage, client, pods="0")
    job = stage.job("no-pods", client=client)
    job.submit(failurePolicy=AFTER_EVENTS)
    fails_to_start(job, "StartDeadline", "exceeded quota: tight", "pods=1")
    assert client.all("Pod") == []


def half_let_in(stage: Stage, name: str, **spec) -> tuple[Job, str]:
    """Submit a job, in a namespace of its own, of whose gang a quota lets one pod in; return it and the path of the quota."""
    job = stage.job(name, client=stage.place(f"room-of-{name}"))
    job.hold("prepare")
    job.submit(**spec)
    until(lambda: len(job.running()) == 1, seconds=60, what="a pod that prepares")
    quota = limited(stage, job.client, pods="1")
    job.kubelet.scripts[f"{job.name}/train"] = hang
    job.go_on("prepare")
    until(lambda: len(job.gang(1)) == 1, seconds=60, what="half a gang")
    return job, quota


@at_once
def test_a_gang_of_which_a_quota_lets_only_a_part_in_is_wholly_freed(stage):
    job, _ = half_let_in(stage, "half-gang", failurePolicy=AFTER_EVENTS)
    fails_to_start(job, "StartDeadline", "exceeded quota: tight")


@at_once
def test_a_gang_that_a_quota_holds_back_says_so_and_is_whole_once_the_quota_is_raised(stage):
    job, quota = half_let_in(stage, "late-gang")
    condition = until(lambda: pods_refused(job), seconds=60, what="a gang that is refused")
    assert "exceeded quota: tight" in condition["message"]
    raised = {"spec": {"hard": {"pods": "10"}}}
    assert stage.ask("PATCH", quota, raised, content_type="application/merge-patch+json").status == 200
    assert job.wait_for("Running", seconds=120).get("restarts") is None


def pods_refused(job: Job):
    found = job.client.condition(job.name, "PodsReady")
    return found if found and "forbidden" in found.get("message", "") else None


@at_once
def test_a_quota_on_jobs_is_reported_and_once_there_is_room_the_job_goes_on(stage):
    client = stage.place("no-jobs")
    quota = limited(stage, client, **{"count/jobs.batch": "0"})
    job = stage.job("no-job", client=client)
    job.submit()
    condition = until(lambda: client.condition(job.name, "Refused"), seconds=30, what="a refusal")
    assert "Job no-job-prepare" in condition["message"]
    assert "exceeded quota: tight" in condition["message"]
    assert stage.ask("DELETE", quota).status == 200
    status = job.wait_for("Succeeded", seconds=120)
    assert client.condition(job.name, "Refused") is None
    assert (status["attempt"], status.get("restarts")) == (1, None)


@at_once
def test_a_limit_below_what_the_gang_asks_for_is_reported_in_the_words_of_the_api_server(stage):
    client = stage.place("small-pods")
    limit = {"type": "Container", "max": {"memory": "1Gi"}}
    stage.make(f"{CORE}/{client.namespace}/limitranges", {"metadata": {"name": "small"}, "spec": {"limits": [limit]}})
    job = stage.job("too-large", client=client)
    job.submit(resources={"memory": "2Gi"}, failurePolicy=AFTER_EVENTS)
    fails_to_start(job, "StartDeadline", "maximum memory usage per Container is 1Gi, but limit is 2Gi")


@at_once
def test_a_policy_that_forbids_the_pods_is_reported_in_its_own_words(stage):
    """As a webhook of Kyverno or Gatekeeper would refuse them, too."""
    client = stage.place("policed", labels={"policed": "yes"})
    forbid(stage, says="pods of this team need a cost centre")
    job = stage.job("forbidden", client=client)
    job.submit(failurePolicy=AFTER_EVENTS)
    fails_to_start(job, "StartDeadline", "pods of this team need a cost centre")


def forbid(stage: Stage, *, says: str) -> None:
    """Forbid all pods in the namespaces that are labelled `policed`, and return once that holds."""
    group = "/apis/admissionregistration.k8s.io/v1"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [pods]},
        "validations": [{"expression": "false", "message": says}],
    }
    stage.make(f"{group}/validatingadmissionpolicies", {"metadata": {"name": "policed"}, "spec": spec})
    chosen = {"namespaceSelector": {"matchLabels": {"policed": "yes"}}}
    binding = {"policyName": "policed", "validationActions": ["Deny"], "matchResources": chosen}
    stage.make(f"{group}/validatingadmissionpolicybindings", {"metadata": {"name": "policed"}, "spec": binding})
    pod = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "one", "image": "one"}]}}
    until(
        lambda: stage.ask("POST", f"{CORE}/policed/pods?dryRun=All", pod).status == 422, seconds=60, what="the policy"
    )


@pytest.mark.parametrize("level", ["restricted", "baseline"])
@at_once
def test_a_namespace_under_pod_security_takes_the_pods_of_all_stages(stage, level):
    client = stage.place(f"secured-{level}", labels={"pod-security.kubernetes.io/enforce": level})
    job = stage.job("secured", client=client)
    job.submit()
    assert job.wait_for("Succeeded").get("restarts") is None
