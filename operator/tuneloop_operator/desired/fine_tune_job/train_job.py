"""The gang of one training attempt: an Indexed Job, one pod per node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.run_config import RUN_CONFIG_PATH
from tuneloop_api.v1alpha1.common import ResourceAmounts
from tuneloop_api.v1alpha1.fine_tune_job.resources import Resources
from tuneloop_api.v1alpha1.fine_tune_job.scheduling import Scheduling
from tuneloop_operator.desired.common.metadata import job_labels, owned_metadata
from tuneloop_operator.desired.common.placement import placement_fields, pod_metadata, without_nodes
from tuneloop_operator.desired.common.resources import container_resources, half_of_memory, shared_memory
from tuneloop_operator.desired.fine_tune_job.host_network import host_network_fields, host_ports
from tuneloop_operator.desired.fine_tune_job.run_config import attempt_settings
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_pod
from tuneloop_operator.names import QUEUE_LABEL, job_name, rendezvous_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import FineTuneJob
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.desired.common.storage import JobStorage
    from tuneloop_operator.settings.operator import OperatorSettings

_TOLERATION_SECONDS = 30


def train_job(job: FineTuneJob, *, attempt: int, storage: JobStorage, settings: OperatorSettings) -> Manifest:
    """Return the Job of a training attempt (from 1). The end of any pod ends the gang; a restart is a new attempt.

    With a queue, the Job is created suspended, and Kueue admits it. The Job never gets `kueue.x-k8s.io/job-min-parallelism`: if Kueue made
    the gang smaller, its ranks would wait for ranks that do not exist. `minNodes` means a smaller next attempt instead.
    """
    nodes = attempt_settings(job).gang.nodes
    queue = job.spec.scheduling.queue_name if job.spec.scheduling else None
    labels = job_labels(job, stage="train", attempt=attempt)
    spec = {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": 0,
        # a pod that is being deleted fails the gang at once, not after its grace period
        "podReplacementPolicy": "TerminatingOrFailed",
        "template": {
            "metadata": pod_metadata(labels, job.spec, settings),
            "spec": _gang_pod(job, attempt=attempt, storage=storage, settings=settings),
        },
    }
    name = job_name(job, stage="train", attempt=attempt)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owned_metadata(job, name=name, labels=labels | ({QUEUE_LABEL: queue} if queue else {})),
        "spec": spec | ({"suspend": True} if queue else {}),
    }


def _gang_pod(job: FineTuneJob, *, attempt: int, storage: JobStorage, settings: OperatorSettings) -> dict[str, Any]:
    """Return the pod of a node. Its first process is the supervisor of the ranks."""
    resources = job.spec.resources or Resources()
    filled = attempt_settings(job)
    pod = stage_pod(job, stage="train", attempt=attempt, storage=storage, settings=settings)
    pod |= {
        "subdomain": rendezvous_name(job),
        "terminationGracePeriodSeconds": filled.checkpoint.grace_seconds,
        **host_network_fields(job, settings),
        **_placement(job, attempt=attempt, settings=settings),
    }
    gpus = filled.gang.gpus_per_node
    volume, mount = shared_memory(resources.shared_memory or (half_of_memory(resources.memory) if gpus else None))
    pod["volumes"].append(volume)
    container = pod["containers"][0]
    container |= host_ports(job, settings)
    container["command"] = ["python", "-m", "tuneloop_trainer", "supervise", RUN_CONFIG_PATH]
    container["volumeMounts"].append(mount)
    amounts = ResourceAmounts(cpu=resources.cpu, memory=resources.memory)
    container["resources"] = container_resources(amounts, resources, gpus=gpus, gpu_resource=resources.gpu_resource)
    return pod


def _placement(job: FineTuneJob, *, attempt: int, settings: OperatorSettings) -> dict[str, Any]:
    """Return where the pods run, which nodes they avoid, and how soon they leave a lost node if the spec does not say."""
    scheduling = job.spec.scheduling or Scheduling()
    placement = placement_fields(scheduling, settings, labels=job_labels(job, stage="train", attempt=attempt))
    given = placement.get("tolerations", [])
    brief = [_brief_toleration(state) for state in ("not-ready", "unreachable")]
    keys = {toleration.get("key") for toleration in given if toleration.get("effect", "NoExecute") == "NoExecute"}
    placement["tolerations"] = [*(toleration for toleration in brief if toleration["key"] not in keys), *given]
    avoided = (job.status.avoided_nodes if job.status else None) or []
    if avoided and scheduling.avoid_bad_nodes is not False:
        placement["affinity"] = without_nodes(placement.get("affinity", {}), [node.name for node in avoided])
    return placement


def _brief_toleration(state: str) -> dict[str, Any]:
    return {
        "key": f"node.kubernetes.io/{state}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _TOLERATION_SECONDS,
    }
