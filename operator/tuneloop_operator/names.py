"""Names, labels and annotations of children, in one place for the whole operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneloop_api.contract.run_config import Stage
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment

NAMESPACE_LEASE = "owner.tuneloop.dev"
"""Lease in each namespace with objects of ours: its holder is the release that acts there."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "tuneloop"
JOB_LABEL = "tuneloop.dev/job"
STAGE_LABEL = "tuneloop.dev/stage"
ATTEMPT_LABEL = "tuneloop.dev/attempt"
DEPLOYMENT_LABEL = "tuneloop.dev/deployment"
REVISION_LABEL = "tuneloop.dev/revision"
COMPONENT_LABEL = "tuneloop.dev/component"
ROUTER = "router"
"""Value of that label of the pods that carry a deployment's requests."""
COMPARATOR = "comparator"
"""Value of that label of the pod that compares two revisions."""
RETRAINING_LABEL = "tuneloop.dev/retraining"
"""Label of the FineTuneJobs that a ModelDeployment's loop has created: its name."""
RETRAINING_TRIGGER = "tuneloop.dev/retraining-trigger"
FEEDBACK_CUTOFF = "tuneloop.dev/feedback-cutoff"
CHAMPION_REVISION = "tuneloop.dev/champion-revision"
CHAMPION_DIGEST = "tuneloop.dev/champion-digest"
"""Annotations of such a FineTuneJob: the trigger, the time up to which feedback counts, and the model that served. The history of the loop forgets its run; the job does not."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Kueue admits the Jobs with this label."""
STABLE_REVISION = "tuneloop.dev/stable"
"""Annotation of a Service that leads to routers: the revision that is stable behind them."""
DATA_DIGEST = "tuneloop.dev/data-digest"
"""Annotation of a stage's ConfigMap: the digest of its data. The store leaves the data out."""
LOCAL_METRICS_URL = "tuneloop.dev/local-metrics-url"
"""Annotation of a pod in local mode: the address of its second port, with probes, metrics and counts."""
POD_DEFAULTS = "tuneloop.dev/pod-defaults"
"""Annotation of a revision's Deployment: digest of what its pods get from the chart. It shows that the chart gives something no longer."""
TRAINER_CONTAINER, SERVER_CONTAINER, ROUTER_CONTAINER = "trainer", "server", "router"
COMPARATOR_CONTAINER = "comparator"
"""Our own container in a pod. Others may put containers of theirs beside it."""
CHECK_CONTAINER = "check-artifact"
"""Our own init container before a server that is not ours."""
ACCEPT_LOST_CHECKPOINT = "tuneloop.dev/accept-lost-checkpoint"
"""Annotation of a FineTuneJob. With `"true"`, training may restart at step 0 although its checkpoints are gone."""


def job_name(job: FineTuneJob, *, stage: Stage, attempt: int = 0) -> str:
    """Return the name of a stage's Job and ConfigMap."""
    return f"{job.metadata['name']}-{f'a{attempt}' if stage == 'train' else stage}"


def rendezvous_name(job: FineTuneJob) -> str:
    """Return the name of the gang's Service, and of the NetworkPolicy of all pods of the job."""
    return f"{job.metadata['name']}-train"


def servers_name(deployment: ModelDeployment) -> str:
    """Return the name of the NetworkPolicy of all servers. A job of the deployment's name has another policy."""
    return f"{deployment.metadata['name']}-servers"


def revision_name(deployment: ModelDeployment, revision: str) -> str:
    """Return the name of a revision's Deployment, Service and ConfigMap."""
    return f"{deployment.metadata['name']}-{revision}"


def router_name(deployment: ModelDeployment) -> str:
    """Return the name of the routers' Deployment, ConfigMap and NetworkPolicy. No revision has it: revisions are hexadecimal."""
    return f"{deployment.metadata['name']}-{ROUTER}"


def comparator_name(deployment: ModelDeployment) -> str:
    """Return the name of the comparator's Deployment, Service and NetworkPolicy. No revision has it: revisions are hexadecimal."""
    return f"{deployment.metadata['name']}-{COMPARATOR}"


def comparator_labels(deployment: ModelDeployment) -> dict[str, str]:
    """Return the labels of the comparator, and of what belongs to it. Without a revision: no Service of servers selects it, no count of servers has it."""
    return {MANAGED_BY: MANAGER, DEPLOYMENT_LABEL: deployment.metadata["name"], COMPONENT_LABEL: COMPARATOR}


def is_comparator(manifest: dict[str, Any]) -> bool:
    """Whether this object belongs to a comparator, by its labels."""
    return (manifest["metadata"].get("labels") or {}).get(COMPONENT_LABEL) == COMPARATOR


def router_labels(deployment: ModelDeployment) -> dict[str, str]:
    """Return the labels of the routers, and of what belongs to them."""
    return {MANAGED_BY: MANAGER, DEPLOYMENT_LABEL: deployment.metadata["name"], COMPONENT_LABEL: ROUTER}
