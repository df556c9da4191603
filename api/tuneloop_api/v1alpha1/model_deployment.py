"""ModelDeployment: which model to serve, how, and what is being served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tuneloop_api.model import WireModel
from tuneloop_api.rules import applies_only, exactly_one
from tuneloop_api.v1alpha1.common import (
    Conditions,
    Duration,
    LongText,
    Metadata,
    ObjectReference,
    ResourceAmounts,
    ShortText,
    Storage,
    Uri,
    longer_than_nothing,
    named,
)


class ServedModel(WireModel):
    """The artifact to serve: exactly one of the two."""

    fine_tune_job_ref: ObjectReference | None = None
    """A FineTuneJob in this namespace: its artifact is served once it has succeeded."""
    uri: Uri | None = None
    """Folder of an artifact: `pvc://CLAIM/PATH`, or `file:///PATH` (local mode only)."""
    digest: Annotated[str, StringConstraints(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """The artifact at `uri` must have this digest. Only with `uri`. Default: the digest that its own manifest gives."""

    rules = (
        exactly_one("fine_tune_job_ref", "uri"),
        applies_only(
            "digest",
            to="uri",
            hint="a FineTuneJob's digest is in its status",
            cel="has(self.uri)",
            holds=lambda model: model.uri is not None,
        ),
    )


class Batching(WireModel):
    """How requests are grouped into forward passes."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Most texts in one forward pass. Default: 16."""
    max_delay_milliseconds: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Longest wait for more texts while the model is idle. Default: 5."""
    max_queue: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Texts that may wait; beyond it requests are answered 429 with Retry-After. Default: 256."""


class Lifecycle(WireModel):
    """How the server starts and stops."""

    startup: Duration | None = None
    """Time that loading the model may take. Default: 10m."""
    drain: Duration | None = None
    """Time that requests in flight get when the server is asked to stop. Default: 45s."""

    rules = (longer_than_nothing("startup"),)


class ModelDeploymentSpec(WireModel):
    """Which model to serve, and how."""

    model: ServedModel
    """The artifact to serve."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Server pods. Default: 1."""
    batching: Batching | None = None
    """How requests are grouped into forward passes."""
    lifecycle: Lifecycle | None = None
    """How the server starts and stops."""
    resources: ResourceAmounts | None = None
    """CPU and memory of each server pod."""
    image: ShortText | None = None
    """Server image. Default: the operator's setting."""
    storage: Storage | None = None
    """Claim of the artifact. Default: the claim of `model.uri`, or of the FineTuneJob."""


DeploymentPhase = Literal["Pending", "Loading", "Ready", "Progressing", "Degraded"]


class ServedRevision(WireModel):
    """One immutable version of what is served."""

    revision: ShortText
    """Hash of the artifact and the server's settings; part of its Deployment's name."""
    digest: ShortText
    """Digest of the artifact."""
    uri: LongText
    """Where the artifact is."""
    replicas: int | None = None
    """Wanted server pods."""
    ready_replicas: int | None = None
    """Server pods that answer."""


class ModelDeploymentStatus(WireModel):
    """What is being served."""

    observed_generation: int | None = None
    """The `metadata.generation` that this status was computed from."""
    phase: DeploymentPhase | None = None
    """Where the deployment is in its life."""
    conditions: Conditions | None = None
    """Aspects of the state: Accepted, ModelAvailable, Ready."""
    stable: ServedRevision | None = None
    """The revision that answers requests."""
    ready: ShortText | None = None
    """Ready server pods of all, for example `1/1`."""
    url: LongText | None = None
    """Address inside the cluster; in local mode the address of the server."""


class ModelDeployment(WireModel):
    """A fine-tuned model that is served over HTTP."""

    api_version: Literal["tuneloop.dev/v1alpha1"]
    """Always `tuneloop.dev/v1alpha1`."""
    kind: Literal["ModelDeployment"]
    """Always `ModelDeployment`."""
    metadata: Metadata
    """Standard object metadata. The name is a DNS label of at most 36 characters."""
    spec: ModelDeploymentSpec
    """Which model to serve, and how."""
    status: ModelDeploymentStatus | None = None
    """What is being served."""

    rules = (named(most=36),)
