"""kubectl waits for jobs and deployments, and scales a deployment; so does an autoscaler."""

from __future__ import annotations

from foreign_hands import Story
from namespace_client import PAUSE
from served_models import deploy, deployment_status
from stories_at_once import at_once
from waiting import until


def kubectl(job: Story, *arguments: str) -> str:
    """Run kubectl in the story's namespace; return what it prints."""
    done = job.client.plane.kubectl(*arguments, "--namespace", job.client.namespace)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait(job: Story, kind: str, condition: str) -> None:
    kubectl(job, "wait", f"{kind}/{job.name}", f"--for=condition={condition}", "--timeout=120s")


@at_once
def test_kubectl_waits_until_a_job_is_suspended_resumed_and_ready(stage):
    job = stage.training("awaited")
    job.client.patch("FineTuneJob", job.name, {"spec": {"suspend": True}})
    wait(job, "finetunejob", "Suspended")
    assert job.client.phase(job.name) == "Suspended"
    assert job.client.condition(job.name, "Ready") is None
    job.client.patch("FineTuneJob", job.name, {"spec": {"suspend": False}})
    wait(job, "finetunejob", "Suspended=false")
    wait(job, "finetunejob", "Reconciling")
    job.go_on("train")
    wait(job, "finetunejob", "Ready")
    assert job.client.phase(job.name) == "Succeeded"


@at_once
def test_a_deployment_is_scaled_by_kubectl_and_by_an_autoscaler(stage):
    job = stage.job("scaled")
    deploy(job.client, job.name)
    wait(job, "modeldeployment", "Ready")
    assert job.client.get("ModelDeployment", f"{job.name}/scale") is None  # as long as nobody has set spec.replicas
    kubectl(job, "scale", "mdep", job.name, "--replicas=3")
    kubectl(job, "wait", f"mdep/{job.name}", "--for=jsonpath={.status.ready}=3/3", "--timeout=120s")
    wait(job, "modeldeployment", "Ready")
    scale = job.client.get("ModelDeployment", f"{job.name}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    pods = kubectl(job, "get", "pods", "--selector", scale["status"]["selector"], "--output=name").split()
    assert len([pod for pod in pods if pod.startswith(f"pod/{job.name}-")]) == len(pods) == 3
    # below its minimum an autoscaler acts without any metric
    kubectl(job, "autoscale", f"mdep/{job.name}", "--min=4", "--max=5", "--cpu=50%")
    until(lambda: deployment_status(job.client, job.name)["ready"] == "4/4", seconds=60, what="4 servers", pause=PAUSE)
    kubectl(job, "delete", "hpa", job.name)
