"""`status` of a ModelDeployment: what is being served."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneloop_api.v1alpha1.common import Conditions, LongText, ShortText
from tuneloop_api.v1alpha1.failure import ServingFailure
from tuneloop_api.v1alpha1.model_deployment.monitoring_status import MonitoringStatus
from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingStatus
from tuneloop_api.v1alpha1.model_deployment.rollout_status import RolloutStatus
from tuneloop_api.wire.model import MessageModel, Open

DeploymentPhase = Literal["Pending", "Loading", "Ready", "Progressing", "Degraded"]


class ServedRevision(MessageModel):
    """One immutable version of what is served."""

    revision: ShortText
    """Hash of the artifact and the server's settings; part of its Deployment's name."""
    digest: ShortText
    """SHA-256 of the manifest of the artifact, as `sha256:…`; empty for a `model.uri` without `digest`."""
    uri: LongText
    """Folder of the artifact, as `pvc://CLAIM/PATH`."""
    replicas: int | None = None
    """Number of server pods that this revision is to have."""
    ready_replicas: int | None = None
    """Number of its server pods that answer requests."""


class StableRevision(ServedRevision):
    """The revision that answers requests now, and what is wrong with its servers."""

    failure: ServingFailure | None = None
    """Why servers of `stable` do not come up, while another revision is on its way; else `status.failure` says it."""


class ModelDeploymentStatus(MessageModel):
    """What is being served."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status was computed from."""
    phase: Annotated[DeploymentPhase | None, Open(None)] = None
    """Where the deployment is in its life, as one word for people; programs look at `conditions`."""
    conditions: Conditions | None = None
    """Aspects of the state, one entry each: Accepted, ModelAvailable, Ready and others. Accepted is False where the spec is refused, and says why."""
    stable: StableRevision | None = None
    """The revision that answers requests now: one version of artifact and settings."""
    canary: ServedRevision | None = None
    """The revision that is to take over, with `spec.rollout`."""
    revisions: Annotated[list[ServedRevision] | None, Field(max_length=64)] = None
    """The revisions that have a Deployment, the oldest first, with `spec.rollout`."""
    rollout: RolloutStatus | None = None
    """Where its roll-out is, with `spec.rollout`."""
    retraining: RetrainingStatus | None = None
    """Where the loop of retraining is, with `spec.retraining`."""
    monitoring: MonitoringStatus | None = None
    """What later requests are compared with, with `spec.monitoring`."""
    failure: ServingFailure | None = None
    """Why servers of the revision that is on its way do not come up, or of stable if none is: what, where and what to do. Absent while they all answer."""
    ready: ShortText | None = None
    """How many of the server pods are ready, for example `1/1`."""
    replicas: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Number of server pods that there are, of all revisions, for `kubectl scale` and a HorizontalPodAutoscaler; absent if `spec.replicas` is."""
    selector: ShortText | None = None
    """Labels by which a HorizontalPodAutoscaler finds the server pods, as text; absent if `spec.replicas` is."""
    url: LongText | None = None
    """Address of the server inside the cluster; in local mode its address on this machine."""
    resolved: Annotated[dict[str, Any], Field(max_length=64)] | None = None
    """What the spec left to the administrator: `podDefaults` is what new server pods get from the chart. Of variables it has the names alone; absent if there is nothing."""
